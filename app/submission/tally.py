"""How an app's mail stands, in four numbers: from the counters, without counting rows."""

from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session

_ENDED = ("sent", "failed", "suppressed", "cancelled", "expired", "unknown")

# The folded minutes by their key, what is not folded yet, and what the stages hold now.
_TOTALS = """
SELECT kind, sum(n)::bigint FROM (
  SELECT kind, n FROM email_stats WHERE app_id = %(app)s
  UNION ALL
  SELECT kind, n FROM email_stat_deltas WHERE app_id = %(app)s
  UNION ALL
  SELECT 'active', greatest(remaining, 0) FROM released_chunks WHERE app_id = %(app)s
  UNION ALL
  SELECT 'planned', accepted - expanded FROM batches
  WHERE app_id = %(app)s AND status IN ('accepted', 'expanding')) all_of_them
GROUP BY 1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Mails of an app: not yet released, in the stages, accepted by a server, failed."""

    waiting: int
    active: int
    completed: int
    failed: int


def tally(session: Session, app_id: UUID) -> Tally:
    """Return how an app's mail stands; numbers of different moments may differ by a few."""
    found: dict[str, int] = dict(session.execute(_TOTALS, {"app": app_id}).fetchall())
    open_ones = found.get("planned", 0) - sum(found.get(kind, 0) for kind in _ENDED)
    active = min(found.get("active", 0), max(open_ones, 0))
    return Tally(
        waiting=max(0, open_ones - active),
        active=active,
        completed=found.get("sent", 0),
        failed=found.get("failed", 0),
    )
