"""Mails whose SMTP reply was never seen: what their queue or a person decides, and the evidence.

The outcome `unknown` is always recorded first, with the dialogue up to where it broke. `hold` keeps
it so; `resend` takes the risk of a second copy, `assume_sent` that of none. Each decision is a line
on the mail's timeline. A server's answer that comes later counts more than a decision.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson

from app.clock import utc_now
from app.db.session import Session
from app.ids import new_ids
from app.lifecycle.notices import note
from app.lifecycle.states import State


class Decision(StrEnum):
    """What to do with an unknown mail, besides holding it."""

    RESEND = "resend"
    ASSUME_SENT = "assume_sent"


_TARGETS = {Decision.RESEND: State.SCHEDULED, Decision.ASSUME_SENT: State.SENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which unknown mails of an app: all, or those that match every field that is set.

    `connection` is the SMTP connection's id in the evidence.
    """

    app_id: UUID
    campaign_id: UUID | None = None
    email_id: UUID | None = None
    connection: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """One held mail; `evidence` is the data of its last attempt, None when no journal was found."""

    email_id: UUID
    to_email: str
    campaign_id: UUID | None
    reason: str | None
    first_claimed_at: dt.datetime | None
    evidence: Mapping[str, Any] | None


_DECIDE = f"""
WITH u AS (
  UPDATE emails SET status = %(target)s, reason = %(reason)s,
    due_at = CASE WHEN %(target)s = 'scheduled' THEN now() END,
    sent_at = CASE WHEN %(target)s = 'sent' THEN coalesce(claimed_at, now()) END
  WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status = 'unknown'
  RETURNING id, app_id, queue_id, campaign_id, step_id, account_id),
ev AS (
  INSERT INTO email_events (email_id, id, app_id, type, data)
  SELECT u.id, r.event, u.app_id, 'decision', %(data)s::jsonb
  FROM u JOIN unnest(%(ids)b::uuid[], %(events)b::uuid[]) AS r(id, event) USING (id)),
n AS (
  {note("u", "CASE WHEN %(target)s = 'sent' THEN 'sent' END", data="%(data)s::jsonb")}),
d AS (
  INSERT INTO email_stat_deltas (app_id, queue_id, campaign_id, step_id, account_id, kind, n)
  SELECT app_id, queue_id, campaign_id, step_id, account_id, k.kind, k.sign * count(*)
  FROM u CROSS JOIN (VALUES ('unknown', -1), ('sent', 1)) AS k(kind, sign)
  WHERE k.kind = 'unknown' OR %(target)s = 'sent'
  GROUP BY 1, 2, 3, 4, 5, 6, k.sign)
SELECT id FROM u ORDER BY id"""  # noqa: S608 - constants


def decide(session: Session, ids: Sequence[UUID], decision: Decision, by: str) -> list[UUID]:
    """Apply a decision of `by` to mails that are still unknown; return the ids that moved."""
    if not ids:
        return []
    ordered = sorted(ids)
    words = {Decision.RESEND: "resent", Decision.ASSUME_SENT: "assumed sent"}[decision]
    binds = {
        "ids": ordered,
        "low": ordered[0],
        "high": ordered[-1],
        "target": str(_TARGETS[decision]),
        "reason": f"{words}: the server's reply was never seen ({by})",
        "events": new_ids(len(ordered), utc_now()),
        "data": orjson.dumps({"decision": decision, "by": by}).decode(),
    }
    return [row[0] for row in session.execute(_DECIDE, binds).fetchall()]


_POLICIES = """
SELECT q.on_unknown, array_agg(e.id) FROM emails e JOIN queues q ON q.id = e.queue_id
WHERE e.id = ANY(%(ids)b) AND e.id BETWEEN %(low)b AND %(high)b AND q.on_unknown <> 'hold'
GROUP BY 1"""


def follow_policy(session: Session, ids: Sequence[UUID]) -> None:
    """Decide as the queues say; in the transaction that found the mails to be unknown."""
    if not ids:
        return
    binds = {"ids": list(ids), "low": min(ids), "high": max(ids)}
    for policy, found in session.execute(_POLICIES, binds).fetchall():
        decide(session, found, Decision(policy), "the queue's policy")


# Every mail that becomes unknown has an attempt that says so. Those are few and never change, so they
# have an index (email_events_unknown), which emails.status must not have: it would end HOT updates.
# OFFSET 0 keeps the planner from reading the emails first.
_FIND = """
SELECT e.id, e.to_email, e.campaign_id, e.reason, e.claimed_at, v.data
FROM (
  SELECT DISTINCT email_id FROM email_events
  WHERE app_id = %(app)s AND type = 'attempt' AND data ->> 'verdict' = 'unknown'
    AND email_id > %(after)s AND (%(email)s::uuid IS NULL OR email_id = %(email)s)
  ORDER BY email_id) u
CROSS JOIN LATERAL (
  SELECT id, to_email, campaign_id, reason, claimed_at FROM emails
  WHERE id = u.email_id AND status = 'unknown'
    AND (%(campaign)s::uuid IS NULL OR campaign_id = %(campaign)s) OFFSET 0) e
LEFT JOIN LATERAL (
  SELECT data FROM email_events WHERE email_id = e.id AND type = 'attempt'
  ORDER BY id DESC LIMIT 1) v ON true
WHERE %(connection)s::text IS NULL OR v.data ->> 'connection' = %(connection)s
ORDER BY e.id LIMIT %(limit)s"""
_FIRST = UUID(int=0)


def find(
    session: Session, selection: Selection, *, limit: int, after: UUID = _FIRST
) -> list[Unknown]:
    """Return at most `limit` unknown mails behind the id `after`, in id order, with evidence."""
    binds = {
        "app": selection.app_id,
        "campaign": selection.campaign_id,
        "email": selection.email_id,
        "connection": selection.connection,
        "after": after,
        "limit": limit,
    }
    return [
        Unknown(
            email_id=r[0],
            to_email=r[1],
            campaign_id=r[2],
            reason=r[3],
            first_claimed_at=r[4],
            evidence=r[5],
        )
        for r in session.execute(_FIND, binds).fetchall()
    ]
