"""`ingest`: how fast leads come in by COPY, and how fast a batch of recipients becomes e-mails."""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from app.campaigns.leads_import import ImportResult, LeadFile, import_csv
from app.config import settings
from app.db.session import Session, connect
from app.errors import DependencyUnavailable, LedgerOff
from infra.load import fleet, letters, processes, sinks, submitting, tenant
from infra.load.figures import Direction, Figure, Goal
from infra.load.stand import Measured, Stand, median

_ROWS_PER_S = Goal(direction=Direction.AT_LEAST, limit=20_000)
_ANSWERED_MS = Goal(direction=Direction.AT_MOST, limit=150)
_EXPANDED_S = Goal(direction=Direction.AT_MOST, limit=2)
_EXPANSION_LIMIT_S = 60.0
_ROUNDS = 3
_BATCHES = 5
_FLAT = Goal(direction=Direction.AT_MOST, limit=1.1, is_ratio=True)
_UNDER_WAY = """
SELECT FROM emails WHERE app_id = %s AND status IN ('scheduled', 'queued', 'sending') LIMIT 1"""


def measure(stand: Stand) -> Measured:
    """Import the same file into fresh apps; the median counts."""
    with (
        connect(settings().database_url, role=None) as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        path = letters.write_leads(Path(folder) / "leads.csv", stand.sizes.import_rows)
        imports = [_imported(session, path, stand.sizes.import_rows) for _ in range(_ROUNDS)]
        batch, remarks = _batch_lines(session, stand)
    rate = median(stand.sizes.import_rows / seconds for seconds in imports)
    figures = [Figure(name="lead import, rows/s", ours=rate, unit="/s", goal=_ROWS_PER_S), *batch]
    remarks += [f"median of {_ROUNDS} imports of {stand.sizes.import_rows:,} rows"]
    return Measured(figures=figures, remarks=remarks, facts={"import_s": imports})


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One batch: seconds until its answer and until all are e-mails; memory of the web processes."""

    answered_s: float
    expanded_s: float
    web_mb: float


def _batch_lines(session: Session, stand: Stand) -> tuple[list[Figure], list[str]]:
    """Return the lines of the batches, or a remark why they could not be posted."""
    try:
        posted = _batches(session, stand)
    except DependencyUnavailable as error:
        return [], [f"no batch: {error}"]
    name = f"batch of {stand.sizes.batch:,}"
    return [
        Figure(
            name=f"{name}, until the answer",
            ours=median(one.answered_s * 1000 for one in posted),
            unit="ms",
            goal=_ANSWERED_MS,
        ),
        Figure(
            name=f"{name}, until expanded",
            ours=median(one.expanded_s for one in posted),
            unit="s",
            goal=_EXPANDED_S,
        ),
        Figure(
            name=f"memory of the API after {_BATCHES} of them; peer: after the first",
            ours=posted[-1].web_mb,
            unit="MB",
            other=posted[0].web_mb,
            goal=_FLAT,
        ),
    ], []


def _batches(session: Session, stand: Stand) -> list[Posted]:
    """Post batches, each when the mails of the one before are sent; a small one warms up.

    Raises LedgerOff when mails are missing.
    """
    with sinks.fastest(stand.folder) as sink:
        app_id = tenant.new_app(session, sink.port)
        body = json.dumps(submitting.batch(stand.sizes.batch)).encode()
        with (
            submitting.office(session, stand.folder, app_id) as office,
            fleet.working(stand.folder, stand.sizes.strength),
            submitting.client(office) as client,
        ):
            client.post(submitting.BATCH, submitting.batch(1))
            _wait_for_mails(session, app_id, 1)
            posted = []
            for number in range(1, _BATCHES + 1):
                began = time.monotonic()
                client.post_bytes(submitting.BATCH, body)
                answered_s = time.monotonic() - began
                _wait_for_mails(session, app_id, 1 + number * stand.sizes.batch)
                expanded_s = time.monotonic() - began
                web_mb = sum(map(processes.memory_mb, processes.tree(office.pid)))
                posted.append(Posted(answered_s=answered_s, expanded_s=expanded_s, web_mb=web_mb))
                _wait_until_sent(session, app_id)
            return posted


def _wait_until_sent(session: Session, app_id: UUID) -> None:
    deadline = time.monotonic() + _EXPANSION_LIMIT_S
    while session.execute(_UNDER_WAY, (app_id,)).fetchone() is not None:
        if time.monotonic() > deadline:
            raise LedgerOff("No time: the mails of a batch are not sent.")
        time.sleep(0.1)


def _wait_for_mails(session: Session, app_id: UUID, count: int) -> None:
    deadline = time.monotonic() + _EXPANSION_LIMIT_S
    query = "SELECT coalesce(sum(expanded), 0) FROM batches WHERE app_id = %s"
    while True:
        row = session.execute(query, (app_id,)).fetchone()
        if row is not None and row[0] >= count:
            return
        if time.monotonic() > deadline:
            raise LedgerOff(f"No time: {row and row[0]} of {count} mails of the batch were made.")
        time.sleep(0.01)


def _imported(session: Session, path: Path, rows: int) -> float:
    """Import into an app of its own; return the seconds. Raises LedgerOff unless all were added."""
    app_id = tenant.new_app(session, 1)
    done: ImportResult = import_csv(session, app_id, LeadFile(path=path, pepper=tenant.pepper()))
    if done.added != rows:
        raise LedgerOff(f"No rate: {done.added} of {rows} leads were added.", why=f"{done}.")
    return done.seconds
