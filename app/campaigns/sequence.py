"""Turn due enrolments into planned mails, in bulk and safe from several processes at once.

A pass holds the campaigns it plans for FOR SHARE, so that a pause or a cancel waits for its mails
and then finds them; enrolments are claimed FOR UPDATE SKIP LOCKED, so nothing is planned twice.
"""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from app.campaigns import stages
from app.campaigns.advance import (
    Enrolled,
    Later,
    Next,
    Plan,
    Previous,
    Step,
    Stop,
    Variant,
    advance,
)
from app.db.session import Row, Session
from app.ids import new_ids
from app.lifecycle import transitions
from app.lifecycle.intake import plan as store
from app.lifecycle.states import State
from app.scheduling.calendar import Window

# What becomes of a lead, and of its waiting mails, by the reason it is stopped for.
_LEAD_STATUS = {
    "unsubscribe": "unsubscribed",
    "hard_bounce": "bounced",
    "soft_bounces": "bounced",
    "complaint": "complained",
}


def plan_due(session: Session, now: dt.datetime, limit: int) -> int:
    """Advance at most `limit` due enrolments of running campaigns; return the mails planned.

    The highest priority first, and within it every app the same share. Each round is one
    transaction: a priority is left when a round finds nothing more of it to claim.
    """
    planned = claimed = 0
    below = 11
    while claimed < limit:
        with session.transaction():
            plans = _plans(session, below, now)
            if not plans:
                break
            batch = _claim(session, _shares(plans, limit - claimed), now)
            planned += _advance_all(session, {p.campaign_id: p for p in plans}, batch, now)
        claimed += len(batch)
        if not batch:
            below = plans[0].priority
    return planned


# Running campaigns of the highest priority below the given one that have something due.
_DUE_CAMPAIGNS = """
SELECT c.id, c.app_id, c.company_id, c.queue_id, c.priority, c.window_days, c.window_start,
       c.window_end, c.timezone, c.uses_lead_timezone,
       EXISTS (SELECT FROM campaign_stages s WHERE s.campaign_id = c.id AND s.phase <> 'open')
FROM campaigns c JOIN apps a ON a.id = c.app_id
WHERE c.status = 'running' AND a.status = 'active' AND c.priority < %(below)s
  AND EXISTS (SELECT FROM enrolments e WHERE e.campaign_id = c.id AND e.due_at <= %(now)s)
ORDER BY c.priority DESC, c.id FOR SHARE OF c SKIP LOCKED"""

_STEPS = """
SELECT s.campaign_id, s.id, s.wait_duration_hours, v.template_version_id, v.weight
FROM campaign_sequence_steps s JOIN campaign_step_variants v ON v.step_id = s.id
WHERE s.campaign_id = ANY(%(campaigns)s) ORDER BY s.campaign_id, s.position, v.id"""

_ACCOUNTS = """
SELECT ca.campaign_id, ca.account_id
FROM campaign_accounts ca JOIN email_accounts a ON a.id = ca.account_id
WHERE ca.campaign_id = ANY(%(campaigns)s) AND a.status = 'active'
ORDER BY ca.campaign_id, ca.position"""


def _plans(session: Session, below: int, now: dt.datetime) -> list[Plan]:
    rows = session.execute(_DUE_CAMPAIGNS, {"below": below, "now": now}).fetchall()
    rows = [row for row in rows if row[4] == rows[0][4]]
    binds = {"campaigns": [row[0] for row in rows]}
    steps = _steps(session.execute(_STEPS, binds).fetchall()) if rows else {}
    accounts: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for campaign_id, account_id in session.execute(_ACCOUNTS, binds).fetchall() if rows else ():
        accounts[campaign_id].append(account_id)
    return [
        Plan(
            campaign_id=r[0],
            app_id=r[1],
            company_id=r[2],
            queue_id=r[3],
            priority=r[4],
            window=Window(days=frozenset(r[5]), start=r[6], end=r[7]),
            timezone=r[8],
            uses_lead_timezone=r[9],
            steps=steps.get(r[0], ()),
            accounts=tuple(accounts[r[0]]),
            is_staged=r[10],
        )
        for r in rows
    ]


def _steps(rows: Iterable[Row]) -> dict[UUID, tuple[Step, ...]]:
    """Return each campaign's steps, in order, with their variants."""
    waits: dict[tuple[UUID, UUID], float] = {}
    variants: defaultdict[tuple[UUID, UUID], list[Variant]] = defaultdict(list)
    for campaign_id, step_id, hours, version_id, weight in rows:
        waits[campaign_id, step_id] = float(hours)
        variants[campaign_id, step_id].append(
            Variant(template_version_id=version_id, weight=weight)
        )
    steps: defaultdict[UUID, tuple[Step, ...]] = defaultdict(tuple)
    for (campaign_id, step_id), hours in waits.items():
        found = tuple(variants[campaign_id, step_id])
        steps[campaign_id] += (Step(id=step_id, wait=dt.timedelta(hours=hours), variants=found),)
    return steps


def _shares(plans: Sequence[Plan], limit: int) -> dict[UUID, int]:
    """Return how many enrolments each campaign may have: apps get the same, then campaigns."""
    plans = plans[:limit]
    campaigns = Counter(plan.app_id for plan in plans)
    per_app = max(1, limit // len(campaigns))
    return {p.campaign_id: max(1, per_app // campaigns[p.app_id]) for p in plans}


# The oldest due enrolments of each campaign (index enrolments_due), with their leads. Ordered by no
# more than the index is: a million that are due at once would all be sorted for each share of them.
_CLAIM = """
SELECT n.id, n.campaign_id, n.lead_id, n.account_id, n.steps_planned - n.repeated, n.last_email_id, n.due_at,
       l.email, l.email_hash, l.timezone, l.variables, l.status
FROM unnest(%(campaigns)s::uuid[], %(shares)s::int[]) AS c(id, share)
CROSS JOIN LATERAL (
  SELECT * FROM enrolments
  WHERE campaign_id = c.id AND due_at <= %(now)s
  ORDER BY due_at LIMIT c.share FOR UPDATE SKIP LOCKED) n
JOIN leads l ON l.id = n.lead_id"""


def _claim(session: Session, shares: dict[UUID, int], now: dt.datetime) -> list[Enrolled]:
    binds = {"campaigns": list(shares), "shares": list(shares.values()), "now": now}
    return [
        Enrolled(
            id=r[0],
            campaign_id=r[1],
            lead_id=r[2],
            account_id=r[3],
            steps_planned=r[4],
            last_email_id=r[5],
            due_at=r[6],
            email=r[7],
            email_hash=r[8],
            timezone=r[9],
            variables=r[10],
            lead_status=r[11],
        )
        for r in session.execute(_CLAIM, binds, binary=True).fetchall()
    ]


# psycopg reads no infinity: a parked mail has no time. One probe of the primary key each.
_PREVIOUS = """
SELECT id, status, sent_at, CASE WHEN due_at < 'infinity' THEN due_at END
FROM emails WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)s AND %(high)s"""


def _previous(session: Session, batch: Sequence[Enrolled]) -> dict[UUID | None, Previous]:
    """Return the mails of the steps before; one deleted by retention was sent long ago."""
    ids = [enrolled.last_email_id for enrolled in batch if enrolled.last_email_id]
    if not ids:
        return {}
    binds = {"ids": ids, "low": min(ids), "high": max(ids)}
    return {
        row[0]: Previous(state=State(row[1]), sent_at=row[2], due_at=row[3])
        for row in session.execute(_PREVIOUS, binds, binary=True).fetchall()
    }


def _advance_all(
    session: Session, plans: dict[UUID, Plan], batch: Sequence[Enrolled], now: dt.datetime
) -> int:
    previous = _previous(session, batch)
    moves = []
    for enrolled, email_id in zip(batch, new_ids(len(batch), now), strict=True):
        before = previous.get(enrolled.last_email_id)
        plan = plans[enrolled.campaign_id]
        moves.append((enrolled, advance(enrolled, plan, before, email_id, now)))
    mails = [move.mail for _, move in moves if isinstance(move, Next)]
    if mails:
        store(session, mails)
        _admit(session, plans, moves)
    if moves:
        session.execute(_UPDATE, _columns([_row(enrolled, move) for enrolled, move in moves]))
    return len(mails)


def _admit(
    session: Session,
    plans: dict[UUID, Plan],
    moves: Sequence[tuple[Enrolled, Later | Stop | Next]],
) -> None:
    """Ask the stage of each staged campaign which of the first mails may go."""
    first: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for enrolled, move in moves:
        is_first = enrolled.steps_planned == 0 and plans[enrolled.campaign_id].is_staged
        if is_first and isinstance(move, Next):
            first[enrolled.campaign_id].append(UUID(move.mail.id))
    for campaign_id, ids in sorted(first.items()):
        stages.admit(session, campaign_id, ids)


# Arrays and rows go in binary: as text they cost ten times as much.
_UPDATE = """
UPDATE enrolments e SET status = u.status, stop_reason = u.reason, account_id = u.account_id,
       steps_planned = u.steps + e.repeated, last_email_id = u.email_id, due_at = u.due_at
FROM unnest(%(ids)b::uuid[], %(statuses)b::text[], %(reasons)b::text[], %(accounts)b::uuid[],
            %(steps)b::int[], %(emails)b::uuid[], %(dues)b::timestamptz[])
     AS u(id, status, reason, account_id, steps, email_id, due_at)
WHERE e.id = u.id"""
_UPDATE_COLUMNS = ("ids", "statuses", "reasons", "accounts", "steps", "emails", "dues")


def _row(enrolled: Enrolled, move: Later | Stop | Next) -> tuple[Any, ...]:
    """Return the columns of _UPDATE for one enrolment."""
    kept = (enrolled.account_id, enrolled.steps_planned, enrolled.last_email_id)
    match move:
        case Later(at=at):
            return (enrolled.id, "active", None, *kept, at)
        case Stop(reason=reason):
            return (enrolled.id, "stopped", reason, *kept, None)
        case Next(mail=mail, look_at=look_at):
            status = "active" if look_at else "finished"
            steps = enrolled.steps_planned + 1
            return (enrolled.id, status, None, mail.account_id, steps, UUID(mail.id), look_at)


def _columns(rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return dict(zip(_UPDATE_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


def stop_lead(session: Session, app_id: UUID, email_hash: bytes, reason: str) -> int:
    """End every sequence of a lead and cancel its waiting mails; return the sequences ended.

    `reason` is a suppression's (unsubscribe, hard_bounce, soft_bounces, complaint), which also
    marks the lead, or another word such as reply, which only ends what runs now.
    """
    binds = {
        "app": app_id,
        "hash": email_hash,
        "reason": reason,
        "status": _LEAD_STATUS.get(reason),
    }
    with session.transaction():
        session.execute(_MARK_LEAD, binds)
        stopped = session.execute(_STOP_ENROLMENTS, binds).rowcount
        enrolments = [row[0] for row in session.execute(_OF_LEAD, binds).fetchall()]
        target = State.SUPPRESSED if reason in _LEAD_STATUS else State.CANCELLED
        if enrolments:
            transitions.stop_enrolments(session, enrolments, target=target, reason=reason)
    return stopped


def delay_lead(session: Session, app_id: UUID, email_hash: bytes, until: dt.datetime) -> int:
    """Let every running sequence of a lead wait until `until`, because it is away; return how many."""
    binds = {"app": app_id, "hash": email_hash, "until": until}
    return session.execute(_DELAY_ENROLMENTS, binds).rowcount


_DELAY_ENROLMENTS = """
UPDATE enrolments SET due_at = %(until)s
WHERE status = 'active' AND due_at < %(until)s AND lead_id IN
  (SELECT id FROM leads WHERE app_id = %(app)s AND email_hash = %(hash)s)"""
_MARK_LEAD = """
UPDATE leads SET status = %(status)s
WHERE app_id = %(app)s AND email_hash = %(hash)s AND status = 'active'
  AND %(status)s::text IS NOT NULL"""
_STOP_ENROLMENTS = """
UPDATE enrolments SET status = 'stopped', stop_reason = %(reason)s, due_at = NULL
WHERE status = 'active' AND lead_id IN
  (SELECT id FROM leads WHERE app_id = %(app)s AND email_hash = %(hash)s)"""
# Finished sequences too: their last mail may still wait.
_OF_LEAD = """
SELECT id FROM enrolments WHERE last_email_id IS NOT NULL AND lead_id IN
  (SELECT id FROM leads WHERE app_id = %(app)s AND email_hash = %(hash)s)"""
