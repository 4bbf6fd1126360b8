"""Monthly partitions by the range of the UUIDv7 (DESIGN 8): made ahead of time, never too late.

There is no default partition. It would take a row of a month without a table in silence, and then
forbid that month's table for as long as the row is there; PostgreSQL's "no partition of relation
found for row" is the better answer, and names the id whose time is outside.
"""

import datetime as dt
import re
from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session
from app.ids import lower_bound

PARTITIONED = ("emails", "email_events", "audit_logs")
MONTHS_AHEAD = 3
SETTLED_DAYS = 7  # PostgreSQL refuses to detach a month that is over for less

_PARTITION_NAME = re.compile(rf"({'|'.join(PARTITIONED)})_(\d{{4}})_(\d{{2}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month of a partitioned table: ids in [first_id, next_id). Detached, it is a plain table."""

    name: str
    parent: str
    starts: dt.datetime
    ends: dt.datetime
    is_detached: bool
    size_bytes: int

    @property
    def first_id(self) -> UUID:
        """The smallest id the month can hold."""
        return lower_bound(self.starts)

    @property
    def next_id(self) -> UUID:
        """The smallest id of the month after it."""
        return lower_bound(self.ends)


# The rows: names of partitions that were missing, parent by parent. The function takes an advisory
# lock, so two processes at once make each partition once; it runs with the owner's rights.
_CREATE = """
SELECT child FROM unnest(%(parents)s::text[]) AS parent, unnest(%(months)s::date[]) AS month,
    mailqueue_create_partition(parent, month) AS child
WHERE child IS NOT NULL
"""


def create_ahead(session: Session, now: dt.datetime, months: int = MONTHS_AHEAD) -> list[str]:
    """Create missing partitions from the month before `now` to `months` after it; return names.

    The month before is for ids stamped by a machine whose clock is late. Safe to repeat, and from
    several processes at once.
    """
    days = [_month(now, n) for n in range(-1, months + 1)]
    rows = session.execute(_CREATE, {"parents": list(PARTITIONED), "months": days}).fetchall()
    return [name for (name,) in rows]


def is_partition(table: str) -> bool:
    """Tell whether `table` is the name of a monthly partition."""
    return _PARTITION_NAME.fullmatch(table) is not None


# Every table whose name is that of a month, the oldest first.
_MONTHS = """
SELECT c.relname, NOT c.relispartition, pg_total_relation_size(c.oid)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND mailqueue_partition_parent(c.relname) IS NOT NULL
ORDER BY right(c.relname, 7), c.relname"""


def months(session: Session) -> list[Month]:
    """Return the months there are, the oldest first; sizes include indexes."""
    found = []
    for name, is_detached, size in session.execute(_MONTHS).fetchall():
        parent, year, month = _parts(name)
        starts = dt.datetime(year, month, 1, tzinfo=dt.UTC)
        found.append(
            Month(
                name=name,
                parent=parent,
                starts=starts,
                ends=dt.datetime.combine(_month(starts, 1), dt.time(), dt.UTC),
                is_detached=is_detached,
                size_bytes=size,
            )
        )
    return found


def _parts(name: str) -> tuple[str, int, int]:
    parts = _PARTITION_NAME.fullmatch(name)
    if parts is None:
        raise ValueError(f"{name} is no partition")
    return parts[1], int(parts[2]), int(parts[3])


def detach(session: Session, month: Month) -> None:
    """Take a month that is over out of its table; nothing can write to it any more.

    Raises psycopg's LockNotAvailable when the table is busy for longer than 0.2 s: try later.
    """
    session.execute("SELECT mailqueue_detach_partition(%s)", (month.name,))


def attach(session: Session, month: Month) -> None:
    """Put a detached month back; raises as `detach` does."""
    session.execute("SELECT mailqueue_attach_partition(%s)", (month.name,))


def drop(session: Session, month: Month) -> None:
    """Drop a detached month; PostgreSQL itself refuses one that is not archived to its last row."""
    session.execute("SELECT mailqueue_drop_archived(%s)", (month.name,))


def _month(now: dt.datetime, offset: int) -> dt.date:
    at = now.astimezone(dt.UTC)
    year, month = divmod(at.year * 12 + at.month - 1 + offset, 12)
    return dt.date(year, month + 1, 1)
