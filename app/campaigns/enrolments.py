"""Who takes part in a campaign: enrolled in one statement, counted, stopped."""

import datetime as dt
from uuid import UUID

from app.db.session import Session
from app.policy.suppression import LEAD_SUPPRESSED_SQL

# Leads in the order they came take the active accounts in turn, and keep theirs. The id is a
# UUIDv7 of the statement's millisecond: new rows stand together in the primary key.
_ENROL = f"""
WITH chosen AS (
  SELECT array_agg(ca.account_id ORDER BY a.status <> 'active', ca.position) AS accounts,
         greatest(1, count(*) FILTER (WHERE a.status = 'active')) AS turns
  FROM campaign_accounts ca JOIN email_accounts a ON a.id = ca.account_id
  WHERE ca.campaign_id = %(campaign)s),
reached AS (
  SELECT l.id, l.app_id, row_number() OVER (ORDER BY l.id) - 1 AS place
  FROM leads l JOIN campaigns c ON c.app_id = l.app_id
  WHERE c.id = %(campaign)s AND l.status = 'active' AND l.variables @> c.audience
    AND NOT {LEAD_SUPPRESSED_SQL})
INSERT INTO enrolments (id, app_id, campaign_id, lead_id, account_id, due_at)
SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7'
        || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid,
       r.app_id, %(campaign)s, r.id, chosen.accounts[(1 + r.place %% chosen.turns)::int], %(due)s
FROM reached r CROSS JOIN chosen ORDER BY r.place
ON CONFLICT (campaign_id, lead_id) DO NOTHING"""  # noqa: S608 - constants


def enrol(session: Session, campaign_id: UUID, due_at: dt.datetime) -> int:
    """Enrol the campaign's audience: active leads that are not suppressed; return how many."""
    return session.execute(_ENROL, {"campaign": campaign_id, "due": due_at}).rowcount


def stop_all(session: Session, campaign_id: UUID, reason: str) -> int:
    """End every active enrolment of a campaign; return how many."""
    return session.execute(
        "UPDATE enrolments SET status = 'stopped', stop_reason = %s, due_at = NULL "
        "WHERE campaign_id = %s AND due_at IS NOT NULL",
        (reason, campaign_id),
    ).rowcount


def by_status(session: Session, campaign_id: UUID) -> dict[str, int]:
    """Return how many leads are active, finished and stopped."""
    rows = session.execute(
        "SELECT status, count(*) FROM enrolments WHERE campaign_id = %s GROUP BY status",
        (campaign_id,),
    ).fetchall()
    return {"active": 0, "finished": 0, "stopped": 0} | {row[0]: int(row[1]) for row in rows}
