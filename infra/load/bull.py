"""One round of the peer: BullMQ + Nodemailer + pg, tuned, sending the same mail to the same sink."""

import time
from pathlib import Path

from psycopg.types.json import Jsonb

from app.db.session import Session
from app.errors import DependencyUnavailable
from infra.load import letters
from infra.load.agreement import Counted, require_agreement
from infra.load.node import SOURCE, Peers
from infra.load.round import Round
from infra.load.running import tail
from infra.load.sinks import Sink, settled_count
from infra.load.usage import Meter

_POLL_S = 0.02
_STALLED_S = 30.0
_CAMPAIGN = 2
_OPEN = "SELECT EXISTS (SELECT FROM peer.emails WHERE campaign_id = 2 AND status <> 'sent')"
_COUNT = """
SELECT (SELECT count(*) FROM peer.emails WHERE campaign_id = 2 AND status = 'sent'),
       (SELECT count(*) FROM peer.email_events WHERE type = 'sent')"""


def send_campaign(peers: Peers, sink: Sink, folder: Path, mails: int) -> Round:
    """Send `mails` queued mails with one worker of 50 jobs at once; return the round.

    Raises LedgerOff when arrivals, rows and events disagree.
    """
    with peers.connect() as session:
        reset(session, sink.port)
        _fill(session, mails)
        arrived = sink.count()
        log = folder / "peer-worker.log"
        with (
            peers.running("work.mjs", log) as worker,
            peers.running("produce.mjs", folder / "peer-producer.log") as producer,
        ):
            meter = Meter({"worker": worker.pid, "producer": producer.pid, "sink": sink.pid})
            began = time.monotonic()
            assert producer.stdin is not None  # noqa: S101 - running() made the pipe
            producer.stdin.write(b"go\n")
            producer.stdin.flush()
            _wait(session, sink, arrived + mails, log)
            seconds = time.monotonic() - began
            spent = meter.spent(mails)
        ((rows, events),) = session.execute(_COUNT).fetchall()
    got = settled_count(sink) - arrived
    counted = Counted(arrived=got, sent_rows=rows, sent_events=events)
    require_agreement("BullMQ + Nodemailer", mails, counted)
    return Round(mails=mails, seconds=seconds, spent=spent)


def reset(session: Session, smtp_port: int) -> None:
    """Make the peers' tables anew, with one template and one account."""
    session.execute((SOURCE / "schema.sql").read_text())
    session.execute(
        "INSERT INTO peer.templates VALUES (1, %s, %s, %s)",
        (letters.SUBJECT, letters.HTML, letters.TEXT),
    )
    session.execute(
        "INSERT INTO peer.accounts VALUES (1, %s, 'Sender', '127.0.0.1', %s)",
        (letters.SENDER, smtp_port),
    )


def _fill(session: Session, mails: int) -> None:
    columns = "tenant_id, campaign_id, template_id, account_id, to_address, variables"
    with (
        session.cursor() as cursor,
        cursor.copy(f"COPY peer.emails ({columns}) FROM STDIN") as copy,
    ):
        for number in range(mails):
            words = Jsonb(letters.variables(number))
            copy.write_row((1, _CAMPAIGN, 1, 1, letters.address(number), words))
    session.execute("VACUUM ANALYZE peer.emails")


def _wait(session: Session, sink: Sink, target: int, log: Path) -> None:
    before, moved_at = -1, time.monotonic()
    while sink.count() < target or session.execute(_OPEN).fetchone() != (False,):
        if sink.count() != before:
            before, moved_at = sink.count(), time.monotonic()
        if time.monotonic() - moved_at > _STALLED_S:
            raise DependencyUnavailable(
                "The peer stands still.",
                why=f"{before} of {target} mails arrived. {tail(log)}",
                fix="Run ./run bench --no-peers, or see its log.",
            )
        time.sleep(_POLL_S)
