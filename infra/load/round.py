"""One round of our own: a planned campaign, sent to its end, with what it cost."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from app.db.session import Session
from app.errors import DependencyUnavailable, LedgerOff
from app.lifecycle import ledger
from infra.load import fleet, tenant
from infra.load.agreement import Counted, require_agreement
from infra.load.sinks import Sink, settled_count
from infra.load.tenant import Mailing
from infra.load.usage import Meter, Spent

_POLL_S = 0.05
_STALLED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round came to; `spent` is in CPU milliseconds per mail = seconds per 1,000."""

    mails: int
    seconds: float
    spent: Spent
    hot_share: float | None = None

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
            "hot_share": self.hot_share,
        }


def send_campaign(
    session: Session, sink: Sink, folder: Path, *, leads: int, processes: int
) -> Round:
    """Plan a campaign, send it with a fleet of its own, and return the round.

    Raises LedgerOff when arrivals, rows and events disagree, or the books do not balance.
    """
    mailing = tenant.planned(session, tenant.new_app(session, sink.port), leads)
    session.execute("VACUUM ANALYZE emails")
    arrived, updates = sink.count(), _updates(session)
    with fleet.standing_by(folder, processes) as (workers, gun):
        meter = Meter(workers.pids | {"sink": sink.pid})
        began = time.monotonic()
        gun.fire()
        _wait_until_sent(session, sink, mailing, arrived + mailing.expected)
        seconds = time.monotonic() - began
        spent = meter.spent(mailing.expected)
    found = counted(session, mailing.campaign_id, settled_count(sink) - arrived)
    require_agreement("mailqueue", mailing.expected, found)
    _require_balance(session, mailing)
    return Round(
        mails=mailing.expected,
        seconds=seconds,
        spent=spent,
        hot_share=_hot_share(updates, _updates(session)),
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
SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname LIKE 'emails\\_%'"""


def _updates(session: Session) -> Mapping[str, tuple[int, int]]:
    """Return updates and HOT updates by partition; sessions report theirs when they end."""
    session.execute("SELECT pg_stat_clear_snapshot()")
    return {name: (all_, hot) for name, all_, hot in session.execute(_UPDATES).fetchall()}


def _hot_share(
    before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]
) -> float | None:
    """Return which share of the updates between two readings was HOT; None without any."""
    everything = sum(after[name][0] - before.get(name, (0, 0))[0] for name in after)
    hot = sum(after[name][1] - before.get(name, (0, 0))[1] for name in after)
    return round(hot / everything, 3) if everything else None
