"""What a queue holds and how fast it moves: counted in the rollups, never by reading its mails.

Only what waits is looked at row by row: it is in the index of due mail.
"""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session, one


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """A queue now. `counts`: mails by what became of them, of all times; `waiting` = not final.

    `scheduled_now` are due, `scheduled_later` not yet, `in_flight` on their way through the stages.
    """

    counts: dict[str, int]
    waiting: int
    scheduled_now: int
    scheduled_later: int
    in_flight: int
    oldest_due_at: dt.datetime | None
    sent_last_minute: int
    sent_last_hour: int


# Rollups and what is not folded yet, in one snapshot.
_COUNTED = """
WITH counted AS (
  SELECT kind, n, minute AS at FROM email_stats WHERE app_id = %(app)s AND queue_id = %(queue)s
  UNION ALL
  SELECT kind, n, at FROM email_stat_deltas WHERE app_id = %(app)s AND queue_id = %(queue)s)
SELECT kind, sum(n), coalesce(sum(n) FILTER (WHERE at > now() - interval '1 minute'), 0),
       coalesce(sum(n) FILTER (WHERE at > now() - interval '1 hour'), 0)
FROM counted GROUP BY kind"""
# Index emails_due, of the app's accounts only. A parked mail (infinity) is due later.
_SCHEDULED = """
SELECT count(*) FILTER (WHERE due_at <= now()), count(*) FILTER (WHERE due_at > now()),
       min(due_at) FILTER (WHERE due_at <= now())
FROM emails
WHERE due_at IS NOT NULL AND queue_id = %(queue)s
  AND account_id = ANY(ARRAY(SELECT id FROM email_accounts WHERE app_id = %(app)s))"""
_FINAL = ("sent", "failed", "suppressed", "cancelled", "expired", "unknown")


def stats(session: Session, app_id: UUID, queue_id: UUID) -> QueueStats:
    """Return what a queue holds, both questions asked of one snapshot when in a transaction."""
    binds = {"app": app_id, "queue": queue_id}
    rows = session.execute(_COUNTED, binds).fetchall()
    counts = {kind: int(total) for kind, total, _, _ in rows}
    minute = {kind: int(n) for kind, _, n, _ in rows}
    hour = {kind: int(n) for kind, _, _, n in rows}
    due, later, oldest = one(session, _SCHEDULED, binds) or (0, 0, None)
    waiting = max(0, counts.get("planned", 0) - sum(counts.get(kind, 0) for kind in _FINAL))
    return QueueStats(
        counts=counts,
        waiting=waiting,
        scheduled_now=due,
        scheduled_later=later,
        in_flight=max(0, waiting - due - later),
        oldest_due_at=oldest,
        sent_last_minute=minute.get("sent", 0),
        sent_last_hour=hour.get("sent", 0),
    )
