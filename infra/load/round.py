"""One round of our own: a planned campaign, sent to its end, with what it cost."""

import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from app.db.session import Session
from app.errors import DependencyUnavailable, LedgerOff
from app.lifecycle import ledger
from infra.load import fleet, tenant
from infra.load.agreement import Counted, require_agreement
from infra.load.fleet import Strength
from infra.load.sinks import Sink, settled_count
from infra.load.tenant import Mailing
from infra.load.usage import Meter, Spent

_POLL_S = 0.05
_STALLED_S = 60.0
_REPORTED_S = 1.2  # sessions report their statistics once a second at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round came to; `spent` is in CPU milliseconds per mail = seconds per 1,000."""

    mails: int
    seconds: float
    spent: Spent
    updates: int = 0
    hot_updates: int = 0

    @property
    def hot_share(self) -> float | None:
        """Which share of the updates on emails was HOT; None when none was seen."""
        return self.hot_updates / self.updates if self.updates else None

    @property
    def per_s(self) -> float:
        """Mails per second."""
        return self.mails / self.seconds

    def facts(self) -> dict[str, object]:
        """Return the round for the JSON file."""
        return {
            "mails": self.mails,
            "seconds": round(self.seconds, 3),
            "per_s": round(self.per_s, 1),
            "cpu_s_per_1000": dict(self.spent.by_name),
            "updates_on_emails": self.updates,
            "hot_updates": self.hot_updates,
        }


def send_campaign(
    session: Session, sink: Sink, folder: Path, *, leads: int, strength: Strength
) -> Round:
    """Plan a campaign, send it with a fleet of its own, and return the round.

    Raises LedgerOff when arrivals, rows and events disagree, or the books do not balance.
    """
    mailing = tenant.planned(session, tenant.new_app(session, sink.port), leads)
    session.execute("VACUUM ANALYZE emails")
    arrived, updates = sink.count(), _updates(session)
    with fleet.standing_by(folder, strength) as (workers, gun):
        meter = Meter(workers.pids | {"sink": sink.pid})
        began = time.monotonic()
        gun.fire()
        _wait_until_sent(session, sink, mailing, arrived + mailing.expected)
        seconds = time.monotonic() - began
        spent = meter.spent(mailing.expected)
    found = counted(session, mailing.campaign_id, settled_count(sink) - arrived)
    require_agreement("mailqueue", mailing.expected, found)
    _require_balance(session, mailing)
    updated, hot = _updates(session)
    return Round(
        mails=mailing.expected,
        seconds=seconds,
        spent=spent,
        updates=updated - updates[0],
        hot_updates=hot - updates[1],
    )


def _wait_until_sent(session: Session, sink: Sink, mailing: Mailing, target: int) -> None:
    """Wait until all has arrived, then until all is recorded; raises when nothing moves any more."""
    before, moved_at = -1, time.monotonic()
    while (now := sink.count()) < target:
        if now != before:
            before, moved_at = now, time.monotonic()
        _require_movement(moved_at, now, target)
        time.sleep(_POLL_S)
    while _is_under_way(session, mailing):
        _require_movement(moved_at, before, target)
        time.sleep(_POLL_S)


def _require_movement(moved_at: float, arrived: int, target: int) -> None:
    if time.monotonic() - moved_at > _STALLED_S:
        raise DependencyUnavailable(
            f"Nothing has arrived for {_STALLED_S:.0f} s.",
            why=f"{arrived} of {target} mails are there.",
            fix="Read workers.log and clock.log in the folder of the run.",
        )


_UNDER_WAY = """
SELECT EXISTS (SELECT FROM emails WHERE campaign_id = %s
               AND status IN ('scheduled', 'queued', 'sending'))"""


def _is_under_way(session: Session, mailing: Mailing) -> bool:
    row = session.execute(_UNDER_WAY, (mailing.campaign_id,)).fetchone()
    return bool(row and row[0])


_COUNT = """
SELECT count(DISTINCT e.id) FILTER (WHERE e.status = 'sent'),
       count(v.id) FILTER (WHERE v.type = 'attempt' AND v.data->>'verdict' = 'accepted')
FROM emails e LEFT JOIN email_events v ON v.email_id = e.id
WHERE e.campaign_id = %s"""


def counted(session: Session, campaign_id: UUID, arrived: int) -> Counted:
    """Return how many mails of a campaign arrived, and how many its rows and its events call sent."""
    ((rows, events),) = session.execute(_COUNT, (campaign_id,)).fetchall()
    return Counted(arrived=arrived, sent_rows=rows, sent_events=events)


def _require_balance(session: Session, mailing: Mailing) -> None:
    books = ledger.of_campaign(session, mailing.campaign_id)
    if books.planned != mailing.planned or books.off_by:
        raise LedgerOff("No rate for mailqueue: the books do not balance.", why=f"{books}.")


_UPDATES = """
SELECT coalesce(sum(n_tup_upd), 0), coalesce(sum(n_tup_hot_upd), 0)
FROM pg_stat_user_tables WHERE relname LIKE 'emails\\_%'"""


def _updates(session: Session) -> tuple[int, int]:
    """Return all updates on the partitions of emails, and the HOT ones.

    Sessions report theirs when they end, or when they are idle for a moment.
    """
    time.sleep(_REPORTED_S)
    session.execute("SELECT pg_stat_clear_snapshot()")
    ((updates, hot),) = session.execute(_UPDATES).fetchall()
    return int(updates), int(hot)
