"""What kept an app's mail back over time: hold-backs by gate, never by mail (app/lifecycle/waits)."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from app.analytics.series import Span
from app.db.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How often a gate kept mail back, from the first to the last minute; a mail may count twice.

    `rules`: the version of the words that named the gate.
    """

    gate: str
    rules: int
    times: int
    first_at: dt.datetime
    last_at: dt.datetime


# One range of minutes of the app (key email_stats_key), and the few deltas not folded yet.
_WAITS = """
SELECT split_part(kind, '.', 2) AS gate, split_part(kind, '.', 3)::int AS rules,
       sum(n)::int AS times, date_trunc('minute', min(at)) AS first_at,
       date_trunc('minute', max(at)) AS last_at
FROM (
  SELECT kind, n, minute AS at, queue_id, campaign_id FROM email_stats
  WHERE app_id = %(app)s AND minute >= %(since)s AND minute < %(until)s
  UNION ALL
  SELECT kind, n, at, queue_id, campaign_id FROM email_stat_deltas
  WHERE app_id = %(app)s AND at >= %(since)s AND at < %(until)s) counted
WHERE starts_with(kind, 'held.') AND (%(queue)s::uuid IS NULL OR queue_id = %(queue)s)
  AND (%(campaign)s::uuid IS NULL OR campaign_id = %(campaign)s)
GROUP BY 1, 2 ORDER BY 3 DESC, 1"""


def waits(
    session: Session, app_id: UUID, span: Span, campaign_id: UUID | None = None
) -> list[Waits]:
    """Return what kept the app's mail back in a span, or one campaign's; the most frequent first."""
    binds = {
        "app": app_id,
        "since": span.since,
        "until": span.until,
        "queue": span.queue_id,
        "campaign": campaign_id,
    }
    return session.cursor(row_factory=class_row(Waits)).execute(_WAITS, binds).fetchall()
