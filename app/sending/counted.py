"""What PostgreSQL knows was tried: the truth from which the limiter's counts are rebuilt.

Recorded attempts, and claimed mails whose outcome is still open. Both are read in one statement, so
a mail that is recorded meanwhile counts once.
"""

import datetime as dt
from uuid import UUID

from app.db.session import Session, one
from app.policy.limits import Usage

# Simulated attempts are counted twice, as what they came to and as simulated: no limit sees them.
_KINDS = "('sent', 'failed', 'deferred', 'unknown', 'simulated')"
_N = "CASE kind WHEN 'simulated' THEN -n ELSE n END"
_OPEN = """
  SELECT date_trunc('minute', now()), count(*)::int FROM emails
  WHERE status = 'sending' AND id = ANY(ARRAY(
    SELECT jsonb_array_elements_text(payload->'email_ids')::uuid FROM released_chunks
    WHERE {of}))"""

# 25 hours hold the rolling hour and the whole UTC day (index email_stats_key).
_RECENT = f"""
SELECT minute, sum(n)::int FROM (
  SELECT minute, {_N} FROM email_stats
  WHERE app_id = %(app)s AND minute > now() - interval '25 hours' AND account_id = %(account)s
    AND kind IN {_KINDS}
  UNION ALL
  SELECT date_trunc('minute', at), {_N} FROM email_stat_deltas
  WHERE account_id = %(account)s AND kind IN {_KINDS}
  UNION ALL {_OPEN.format(of="account_id = %(account)s")}) attempts (minute, n)
GROUP BY 1 HAVING sum(n) > 0 ORDER BY 1"""  # noqa: S608 - constants

_USAGE = f"""
SELECT (extract(epoch FROM max(today)) / 86400)::int,
       coalesce(sum(n) FILTER (WHERE minute >= today), 0)::int,
       ((extract(year FROM max(today)) - 1970) * 12 + extract(month FROM max(today)) - 1)::int,
       coalesce(sum(n), 0)::int
FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
             date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC') t (today, month)
LEFT JOIN LATERAL (
  SELECT minute, {_N} FROM email_stats
  WHERE app_id = %(app)s AND minute >= month AND kind IN {_KINDS}
  UNION ALL
  SELECT date_trunc('minute', at), {_N} FROM email_stat_deltas
  WHERE app_id = %(app)s AND at >= month AND kind IN {_KINDS}
  UNION ALL {_OPEN.format(of="app_id = %(app)s")}) attempts (minute, n) ON true"""  # noqa: S608 - constants


def recent_attempts(session: Session, app_id: UUID, account_id: UUID) -> dict[dt.datetime, int]:
    """Return the attempts of an account by minute, oldest first, for the last 25 hours."""
    rows = session.execute(_RECENT, {"app": app_id, "account": account_id}).fetchall()
    return {row[0]: row[1] for row in rows}


def usage(session: Session, app_id: UUID) -> Usage:
    """Return the attempts of an app in this UTC day and month.

    Reads the month's minutes of the app (index email_stats_key): only when its quota is cold.
    """
    row = one(session, _USAGE, {"app": app_id})
    day, today, month, this_month = row or (0, 0, 0, 0)
    return Usage(day=day, today=today, month=month, this_month=this_month)


_OTHERS = """
SELECT EXISTS (SELECT FROM released_chunks
               WHERE remaining > 0 AND id <> %(chunk)s AND app_id = %(app)s)"""


def others_under_way(session: Session, app_id: UUID, chunk_id: UUID) -> bool:
    """Tell whether another chunk of the app may hold a grant that is not claimed yet."""
    row = one(session, _OTHERS, {"app": app_id, "chunk": chunk_id})
    return bool(row and row[0])
