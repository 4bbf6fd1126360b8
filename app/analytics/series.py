"""What an app's mail came to over time: rollups plus the deltas that are not folded yet.

Every query reads one app and one range of minutes (key email_stats_key), never the mails.
"""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, fields
from enum import StrEnum
from uuid import UUID

from app.analytics.reports import Counts
from app.db.session import Session
from app.ids import lower_bound

_KINDS = [field.name for field in fields(Counts)]


class Bucket(StrEnum):
    """How long one point of a series is; in UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is asked for: from `since` up to `until`, all queues or one."""

    since: dt.datetime
    until: dt.datetime
    queue_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The counts of one bucket that begins at `at`."""

    at: dt.datetime
    counts: Counts


_COUNTED = """
SELECT date_trunc(%(bucket)s, at), kind, sum(n) FROM (
  SELECT minute AS at, kind, n FROM email_stats
  WHERE app_id = %(app)s AND minute >= %(since)s AND minute < %(until)s
    AND (%(queue)s::uuid IS NULL OR queue_id = %(queue)s)
  UNION ALL
  SELECT at, kind, n FROM email_stat_deltas
  WHERE app_id = %(app)s AND at >= %(since)s AND at < %(until)s
    AND (%(queue)s::uuid IS NULL OR queue_id = %(queue)s)) counted
WHERE kind = ANY(%(kinds)s) GROUP BY 1, 2"""


def series(session: Session, app_id: UUID, span: Span, bucket: Bucket) -> list[Point]:
    """Return the app's counts, oldest first; buckets in which nothing happened are left out."""
    binds = {
        "app": app_id,
        "bucket": str(bucket),
        "since": span.since,
        "until": span.until,
        "queue": span.queue_id,
        "kinds": _KINDS,
    }
    found: defaultdict[dt.datetime, dict[str, int]] = defaultdict(dict)
    for at, kind, total in session.execute(_COUNTED, binds).fetchall():
        found[at][kind] = int(total)
    return [Point(at=at, counts=Counts(**found[at])) for at in sorted(found)]


def total(session: Session, app_id: UUID, span: Span) -> Counts:
    """Return the app's counts over the whole span."""
    points = series(session, app_id, span, Bucket.MONTH)
    return sum((point.counts for point in points), start=Counts())


_SUPPRESSED = """
SELECT reason, count(*) FROM suppression_list
WHERE app_id = %(app)s AND id >= %(low)s AND id < %(high)s GROUP BY 1 ORDER BY 2 DESC, 1"""


def suppressed_by_reason(session: Session, app_id: UUID, span: Span) -> dict[str, int]:
    """Return how many addresses were suppressed in the span, by reason (ids tell the time)."""
    binds = {"app": app_id, "low": lower_bound(span.since), "high": lower_bound(span.until)}
    return {row[0]: row[1] for row in session.execute(_SUPPRESSED, binds).fetchall()}
