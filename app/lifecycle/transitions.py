"""Every move of an e-mail between states: guarded UPDATEs in bulk, RETURNING what really moved.

Zero rows means that someone else won: stop quietly. Rows are locked in id order. Each statement
says between which ids it works, because a plan cannot prune partitions by `id = ANY(...)` alone.
Moves of the send protocol (claim, outcome) stand in app/lifecycle/attempts.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.db.session import Row, Session, one
from app.lifecycle import waits
from app.lifecycle.events import Delta, count
from app.lifecycle.notices import note
from app.lifecycle.states import REVIVABLE, SOURCES, State

STAGED = "staged release: the first mails of the campaign are watched"

_DIMENSIONS = "app_id, queue_id, campaign_id, step_id, account_id"


def _span(ids: Sequence[Any]) -> dict[str, Any]:
    return {"ids": list(ids), "low": min(ids), "high": max(ids)}


_RELEASE = """
UPDATE emails SET status = 'queued', due_at = NULL, queued_at = now(), reason = NULL
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND due_at IS NOT NULL
RETURNING id"""


def release(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    """Move scheduled e-mails to queued; the guard is due_at, so two passes cannot both win."""
    if not ids:
        return set()
    return {row[0] for row in session.execute(_RELEASE, _span(ids)).fetchall()}


# Counted by gate and minute in the statement that moves them (app/lifecycle/waits).
_WAITED = f"""d AS (
  INSERT INTO email_stat_deltas ({_DIMENSIONS}, kind, n)
  SELECT {_DIMENSIONS}, kind, count(*) FROM u GROUP BY 1, 2, 3, 4, 5, 6)
SELECT count(*) FROM u"""  # noqa: S608 - constants

_RESCHEDULE = f"""
WITH u AS (
UPDATE emails e SET due_at = r.due_at, window_closes_at = r.closes_at, reason = r.reason
FROM unnest(%(ids)b::uuid[], %(dues)b::timestamptz[], %(closes)b::timestamptz[], %(reasons)b::text[],
            %(kinds)b::text[]) AS r(id, due_at, closes_at, reason, kind)
WHERE e.id = r.id AND e.id BETWEEN %(low)b AND %(high)b AND e.due_at IS NOT NULL
RETURNING {", ".join("e." + name for name in _DIMENSIONS.split(", "))}, r.kind),
{_WAITED}"""  # noqa: S608 - constants


def reschedule(
    session: Session, moves: Sequence[tuple[UUID, dt.datetime, dt.datetime | None, str]]
) -> int:
    """Give scheduled e-mails another time: (id, due_at, window_closes_at, reason); return how many."""
    if not moves:
        return 0
    ids, dues, closes, reasons = zip(*sorted(moves, key=lambda move: move[0]), strict=True)
    binds = _span(ids) | {"dues": list(dues), "closes": list(closes), "reasons": list(reasons)}
    binds["kinds"] = [waits.kind_of(reason) for reason in reasons]
    return _number(session, _RESCHEDULE, binds)


def _number(session: Session, statement: str, binds: dict[str, Any]) -> int:
    row = one(session, statement, binds)
    return int(row[0]) if row else 0


_HOLD_BACK = f"""
WITH u AS (
UPDATE emails SET status = 'scheduled', due_at = %(due)s::timestamptz, reason = %(reason)s
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status = 'queued'
RETURNING {_DIMENSIONS}, %(kind)s::text AS kind),
{_WAITED}"""  # noqa: S608 - constants


def hold_back(
    session: Session, ids: Sequence[UUID], *, due_at: dt.datetime | str, reason: str
) -> int:
    """Return queued e-mails to scheduled without consuming an attempt (limit, pause, window).

    `due_at` may be 'infinity' for mails parked by a pause.
    """
    if not ids:
        return 0
    binds = _span(ids) | {"due": due_at, "reason": reason, "kind": waits.kind_of(reason)}
    return _number(session, _HOLD_BACK, binds)


_ASK_AGAIN = """
UPDATE emails SET due_at = now(), reason = 'limits changed'
WHERE account_id = ANY(ARRAY(SELECT id FROM email_accounts
    WHERE app_id = %(app)s AND (%(account)s::uuid IS NULL OR id = %(account)s)))
  AND due_at > now() AND due_at < 'infinity' AND starts_with(reason, 'limit ')"""


def ask_again(session: Session, app_id: UUID, account_id: UUID | None = None) -> int:
    """Let mails that a limit keeps back ask it again now, because it changed (index emails_due).

    Of one account, or of all accounts of the app.
    """
    return session.execute(_ASK_AGAIN, {"app": app_id, "account": account_id}).rowcount


_REVIVE = f"""
UPDATE emails SET status = 'scheduled', due_at = now(), attempt = 0, starts = 0, reason = %(reason)s
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status = ANY(%(sources)s)
RETURNING {_DIMENSIONS}"""  # noqa: S608 - constants


def revive(session: Session, ids: Sequence[UUID], reason: str) -> int:
    """Let failed e-mails try again from their first attempt, because a person says so; return how many.

    Meant for those that failed for want of attempts; the release and assembly judge them anew.
    """
    if not ids:
        return 0
    binds = _span(ids) | {"reason": reason, "sources": [str(state) for state in REVIVABLE]}
    rows = session.execute(_REVIVE, binds).fetchall()
    count(session, (_delta(row, State.FAILED, -1) for row in rows))
    return len(rows)


_LOCK_QUEUED = """
SELECT id FROM emails
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status = 'queued'
ORDER BY id FOR UPDATE"""


def lock_queued(session: Session, ids: Sequence[UUID]) -> set[UUID]:
    """Lock those of `ids` that are queued, and return them. Call inside a transaction."""
    if not ids:
        return set()
    return {row[0] for row in session.execute(_LOCK_QUEUED, _span(ids)).fetchall()}


_NOTE = note("u", "%(target)s::text", data="jsonb_build_object('reason', reason)")
_STOP = f"""
WITH u AS (
UPDATE emails e SET status = %(target)s, reason = r.reason, due_at = NULL
FROM unnest(%(ids)b::uuid[], %(reasons)b::text[]) AS r(id, reason)
WHERE e.id = r.id AND e.id BETWEEN %(low)b AND %(high)b AND e.status = ANY(%(sources)s)
RETURNING {", ".join("e." + name for name in _DIMENSIONS.split(", "))}, e.id, e.reason),
n AS (
  {_NOTE})
SELECT {_DIMENSIONS} FROM u"""  # noqa: S608 - constants


def stop(session: Session, stops: Sequence[tuple[UUID, str]], target: State) -> int:
    """Move waiting e-mails to a final state, each with its reason; count them; return how many."""
    if not stops:
        return 0
    ids, reasons = zip(*sorted(stops), strict=True)
    binds = _span(ids) | {"reasons": list(reasons), "target": target, "sources": _sources(target)}
    return _counted(session, session.execute(_STOP, binds).fetchall(), target)


_STOP_WAITING = f"""
WITH u AS (
UPDATE emails SET status = %(target)s, reason = %(reason)s, due_at = NULL
WHERE {{where}} AND status IN ('scheduled', 'queued')
RETURNING {_DIMENSIONS}, id, reason),
n AS (
  {_NOTE.replace("{", "{{").replace("}", "}}")})
SELECT {_DIMENSIONS} FROM u"""  # noqa: S608 - constants

# A lead's mails are found through its enrolments' campaigns: emails_campaign is the index.
_BY_CAMPAIGN = _STOP_WAITING.format(where="campaign_id = %(campaign)s")
_BY_ENROLMENT = _STOP_WAITING.format(
    where="id = ANY(ARRAY(SELECT last_email_id FROM enrolments WHERE id = ANY(%(enrolments)s)))"
)


def stop_campaign(session: Session, campaign_id: UUID, *, target: State, reason: str) -> int:
    """Stop every scheduled or queued e-mail of a campaign (index emails_campaign)."""
    binds = {"target": target, "reason": reason, "campaign": campaign_id}
    return _counted(session, session.execute(_BY_CAMPAIGN, binds).fetchall(), target)


def stop_enrolments(
    session: Session, enrolment_ids: Sequence[UUID], *, target: State, reason: str
) -> int:
    """Stop what still waits of these enrolments: their last planned e-mail (primary key)."""
    binds = {"target": target, "reason": reason, "enrolments": list(enrolment_ids)}
    return _counted(session, session.execute(_BY_ENROLMENT, binds).fetchall(), target)


def park(session: Session, campaign_id: UUID) -> int:
    """Keep a paused campaign's scheduled e-mails from release; they stay `scheduled`."""
    return session.execute(
        "UPDATE emails SET due_at = 'infinity', reason = 'campaign paused' "
        "WHERE campaign_id = %s AND due_at < 'infinity'",
        (campaign_id,),
    ).rowcount


def unpark(session: Session, campaign_id: UUID) -> int:
    """Make a resumed campaign's parked e-mails due now; the release checks their windows.

    Those that a stage keeps back go on waiting for it.
    """
    return session.execute(
        "UPDATE emails SET due_at = now(), reason = NULL "
        "WHERE campaign_id = %s AND due_at = 'infinity' AND reason IS DISTINCT FROM %s",
        (campaign_id, STAGED),
    ).rowcount


_PARK_STAGED = """
UPDATE emails SET due_at = 'infinity', reason = %(reason)s
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND due_at IS NOT NULL"""


def park_staged(session: Session, ids: Sequence[UUID]) -> int:
    """Keep scheduled e-mails back until their campaign's first stage has been watched."""
    if not ids:
        return 0
    return session.execute(_PARK_STAGED, _span(ids) | {"reason": STAGED}).rowcount


def unpark_staged(session: Session, campaign_id: UUID) -> int:
    """Make the e-mails due now that a stage of their campaign kept back."""
    return session.execute(
        "UPDATE emails SET due_at = now(), reason = NULL "
        "WHERE campaign_id = %s AND due_at = 'infinity' AND reason = %s",
        (campaign_id, STAGED),
    ).rowcount


def _sources(target: State) -> list[str]:
    return [str(source) for source in SOURCES[target]]


def _counted(session: Session, rows: Sequence[Row], kind: State) -> int:
    count(session, (_delta(row, kind, 1) for row in rows))
    return len(rows)


def _delta(row: Row, kind: State, n: int) -> Delta:
    return Delta(
        app_id=row[0],
        queue_id=row[1],
        campaign_id=row[2],
        step_id=row[3],
        account_id=row[4],
        kind=str(kind),
        n=n,
    )
