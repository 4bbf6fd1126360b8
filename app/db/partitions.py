"""Monthly partitions by the range of the UUIDv7 (DESIGN 8): made ahead of time, never too late.

There is no default partition. It would take a row of a month without a table in silence, and then
forbid that month's table for as long as the row is there; PostgreSQL's "no partition of relation
found for row" is the better answer, and names the id whose time is outside.
"""

import datetime as dt
import re

from app.db.session import Session

PARTITIONED = ("emails", "email_events", "audit_logs")
MONTHS_AHEAD = 3

_PARTITION_NAME = re.compile(rf"({'|'.join(PARTITIONED)})_\d{{4}}_\d{{2}}")

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


def _month(now: dt.datetime, offset: int) -> dt.date:
    at = now.astimezone(dt.UTC)
    year, month = divmod(at.year * 12 + at.month - 1 + offset, 12)
    return dt.date(year, month + 1, 1)
