"""The two statements of the send protocol: claim before, outcome after (DESIGN 7).

The claim is the intent, durable before the final dot of DATA; the outcome is guarded by the fence
the claim returned, so a worker that slept through its lease cannot overwrite what came after it.
One transaction may carry the outcome of batch k and the claim of batch k+1, in one round trip.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import psycopg

from app.db.session import Row, Session
from app.lifecycle import unknowns
from app.lifecycle.notices import note
from app.lifecycle.states import State

# Longer than the longest legal wait: 10 minutes for the reply to the final dot
# (RFC 5321 4.5.3.2.6), and a micro-batch may meet it once on each of its connections.
LEASE = dt.timedelta(minutes=30)

_ANSWERED = frozenset({State.SENT, State.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one claimed e-mail.

    `target` SCHEDULED needs `due_at`. `is_attempt` False gives the attempt back (proved untried).
    `data` is the attempt's line on the timeline; None writes none. `worker_died` keeps the count of
    starts: the mail itself may be what ends its workers.
    """

    email_id: UUID
    fence: int
    target: State
    code: int
    reason: str | None
    due_at: dt.datetime | None
    event_id: str
    data: dict[str, Any] | None
    is_attempt: bool = True
    worker_died: bool = False

    @property
    def kind(self) -> str:
        """The counter this outcome adds to."""
        if self.target is not State.SCHEDULED:
            return str(self.target)
        return "deferred" if self.is_attempt else "untried"


# A mail whose window closed, or that expired, while its message waited stays queued: the sweeper has
# it assembled again, which hands it back to the schedule.
_CLAIM = f"""
WITH u AS (
UPDATE emails SET status = 'sending', attempt = attempt + 1, starts = starts + 1,
  fence = fence + 1, claimed_by = %(by)s, claimed_at = coalesce(claimed_at, now()),
  lease_until = now() + %(lease)s
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status = 'queued'
  AND coalesce(least(window_closes_at, expires_at) > now(), true)
RETURNING id, fence, attempt, created_at, claimed_at, starts, app_id),
n AS (
  {note("u", "'processing'")})
SELECT id, fence, attempt, created_at, claimed_at, starts FROM u"""  # noqa: S608 - constants

# The update is written once; the guard differs between a lease that is held and one that ran out.
_RECORD = """
WITH r AS (
  SELECT * FROM unnest(%(ids)b::uuid[], %(fences)b::int[], %(targets)b::text[], %(codes)b::int[],
    %(reasons)b::text[], %(dues)b::timestamptz[], %(given_back)b::int[], %(kinds)b::text[],
    %(events)b::uuid[], %(data)b::text[], %(deaths)b::int[])
    AS r(id, fence, target, code, reason, due_at, given_back, kind, event, data, deaths)),
u AS (
  UPDATE emails e SET status = r.target, smtp_code = nullif(r.code, 0), reason = r.reason,
    due_at = r.due_at, attempt = e.attempt - r.given_back, starts = e.starts * r.deaths,
    lease_until = NULL, claimed_by = NULL,
    sent_at = CASE WHEN r.target = 'sent' THEN now() END
  FROM r WHERE e.id = r.id AND e.id BETWEEN %(low)b AND %(high)b
    AND e.status {guard} AND e.fence = r.fence
  RETURNING e.id, e.app_id, e.queue_id, e.campaign_id, e.step_id, e.account_id, r.kind, r.event,
    r.data, r.reason, r.code),
ev AS (
  INSERT INTO email_events (email_id, id, app_id, type, data)
  SELECT id, event, app_id, 'attempt', data::jsonb FROM u WHERE data IS NOT NULL),
n AS (
  {note}),
l AS (
  UPDATE released_chunks SET remaining = remaining - (SELECT count(*) FROM u), touched_at = now()
  WHERE id = %(chunk)s),
d AS (
  INSERT INTO email_stat_deltas (app_id, queue_id, campaign_id, step_id, account_id, kind, n)
  SELECT app_id, queue_id, campaign_id, step_id, account_id, kind, count(*) FROM u
  GROUP BY 1, 2, 3, 4, 5, 6
  {correction})
SELECT id FROM u"""

# "untried" is nothing to tell: the mail goes again.
_NOTE = note(
    "u",
    "nullif(kind, 'untried')",
    data="jsonb_build_object('reason', reason, 'code', nullif(code, 0))",
)
_RECORD_HELD = _RECORD.format(guard="= 'sending'", correction="", note=_NOTE)
# A mail that waits to be resent, and whose earlier worker now says what the server answered.
_RECORD_RESENT = _RECORD.format(guard="IN ('scheduled', 'queued')", correction="", note=_NOTE)
# Counted as unknown when the lease ran out: what is known now is taken off that count.
_RECORD_LATE = _RECORD.format(
    guard="= 'unknown'",
    note=_NOTE,
    correction="""UNION ALL
  SELECT app_id, queue_id, campaign_id, step_id, account_id, 'unknown', -count(*) FROM u
  GROUP BY 1, 2, 3, 4, 5""",
)


def claim_binds(ids: Sequence[UUID], worker: str) -> dict[str, Any]:
    """Return the parameters of a claim; `worker` names the attempt journal that vouches for it."""
    return {"ids": list(ids), "low": min(ids), "high": max(ids), "by": worker, "lease": LEASE}


def record_binds(outcomes: Sequence[Outcome], chunk_id: UUID | None) -> dict[str, Any]:
    """Return the parameters of an outcome, as parallel arrays."""
    ids = [outcome.email_id for outcome in outcomes]
    return {
        "ids": ids,
        "low": min(ids),
        "high": max(ids),
        "fences": [outcome.fence for outcome in outcomes],
        "targets": [str(outcome.target) for outcome in outcomes],
        "codes": [outcome.code for outcome in outcomes],
        "reasons": [outcome.reason for outcome in outcomes],
        "dues": [outcome.due_at for outcome in outcomes],
        "given_back": [0 if outcome.is_attempt else 1 for outcome in outcomes],
        "kinds": [outcome.kind for outcome in outcomes],
        "events": [outcome.event_id for outcome in outcomes],
        "data": [_line(outcome) for outcome in outcomes],
        "deaths": [int(outcome.worker_died) for outcome in outcomes],
        "chunk": chunk_id,
    }


def claim(session: Session, ids: Sequence[UUID], worker: str) -> list[Row]:
    """Claim queued e-mails and return those that became ours.

    As (id, fence, attempt, created_at, first claim, starts since anything was heard of it).
    """
    return session.execute(_CLAIM, claim_binds(ids, worker)).fetchall()


_HELD = """
SELECT id, fence, attempt, created_at, claimed_at, starts FROM emails
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b
  AND status = 'sending' AND claimed_by = %(by)s"""


def claim_again(session: Session, ids: Sequence[UUID], worker: str) -> list[Row]:
    """Claim after a lost connection: what the broken commit may have claimed already counts too.

    `worker` must name one thread: a claim of another thread is not ours.
    """
    with session.transaction():
        held = session.execute(_HELD, claim_binds(ids, worker)).fetchall()
        return held + session.execute(_CLAIM, claim_binds(ids, worker)).fetchall()


def record(session: Session, outcomes: Sequence[Outcome], chunk_id: UUID | None) -> set[UUID]:
    """Record outcomes, events and counters in one statement; return the ids that moved.

    Outcomes that come after their lease ran out (`unknown`, same fence) are evidence and replace
    the unknown. Anything else stays as it is. What becomes unknown now is treated as its queue
    says, in the same transaction.
    """
    if not outcomes:
        return set()
    with session.transaction():
        rows = session.execute(_RECORD_HELD, record_binds(outcomes, chunk_id)).fetchall()
        moved = {row[0] for row in rows}
        late = [o for o in outcomes if o.email_id not in moved and o.target is not State.UNKNOWN]
        moved |= _record_late(session, late)
        unknowns.follow_policy(
            session,
            [o.email_id for o in outcomes if o.target is State.UNKNOWN and o.email_id in moved],
        )
    return moved


def _record_late(session: Session, late: Sequence[Outcome]) -> set[UUID]:
    if not late:
        return set()
    rows = session.execute(_RECORD_LATE, record_binds(late, None)).fetchall()
    answers = [o for o in late if o.target in _ANSWERED]
    if answers:
        rows += session.execute(_RECORD_RESENT, record_binds(answers, None)).fetchall()
    return {row[0] for row in rows}


def record_and_claim(
    session: Session,
    outcomes: Sequence[Outcome],
    chunk_id: UUID | None,
    ids: Sequence[UUID],
    worker: str,
) -> list[Row]:
    """Record one micro-batch and claim the next: one commit, one round trip; return the claim."""
    if any(outcome.target is State.UNKNOWN for outcome in outcomes):
        with session.transaction():
            record(session, outcomes, chunk_id)
            return claim(session, ids, worker)
    with session.pipeline(), session.transaction():
        recorded = session.execute(_RECORD_HELD, record_binds(outcomes, chunk_id))
        claimed = session.execute(_CLAIM, claim_binds(ids, worker))
    rows = claimed.fetchall()
    if recorded.rowcount < len(outcomes):
        record(session, _left_out(outcomes, recorded), None)
    return rows


def _left_out(outcomes: Sequence[Outcome], recorded: psycopg.Cursor[Row]) -> list[Outcome]:
    moved = {row[0] for row in recorded.fetchall()}
    return [outcome for outcome in outcomes if outcome.email_id not in moved]


def _line(outcome: Outcome) -> str | None:
    data = outcome.data
    if outcome.target is State.UNKNOWN:
        data = {**(data or {}), "verdict": "unknown"}  # by this unknowns.find finds it
    return None if data is None else orjson.dumps(data).decode()
