"""What dead workers left behind: their attempt journals say what really happened (DESIGN 7).

A reply line is recorded; a start line without a reply is `unknown`; a claimed mail without either
was never sent and goes back to *scheduled, due now* (never straight to queued: its redelivered
message may have passed already).
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from app.db.session import Session
from app.ids import new_ids
from app.lifecycle import attempts
from app.lifecycle.attempts import Outcome
from app.lifecycle.states import State
from app.smtp.journal import JournalContents

Key = tuple[UUID, int]

_ID = re.compile("[0-9a-f]{32}")

_AFTER_DEFERRAL = dt.timedelta(seconds=30)
_SPREAD_MS = 10_007


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What a journal says: ids claimed, mails started, and replies (code, text) by (id, fence).

    `worker` is the journal's name; claimed_by is "<journal>/<thread>".
    """

    worker: str
    claimed: frozenset[UUID]
    started: frozenset[Key]
    replied: Mapping[Key, tuple[int, str]]


def testimony(worker: str, contents: JournalContents) -> Testimony:
    """Return what a journal says, with ids instead of their text."""
    return Testimony(
        worker=worker,
        claimed=frozenset(UUID(text) for text in contents.claimed if _is_id(text)),
        started=frozenset((UUID(text), fence) for text, fence in contents.started if _is_id(text)),
        replied={
            (UUID(text), fence): said
            for (text, fence), said in contents.replied.items()
            if _is_id(text)
        },
    )


def _is_id(text: str) -> bool:
    """Tell an id from what a loss of power left: one spoilt line must not keep workers from booting."""
    return _ID.fullmatch(text) is not None


_HELD = """
SELECT id, fence, starts FROM emails
WHERE id = ANY(%(ids)s) AND id BETWEEN %(low)s AND %(high)s
  AND status = 'sending' AND split_part(claimed_by, '/', 1) = %(worker)s
ORDER BY id FOR UPDATE"""


def settle(session: Session, testimony: Testimony, now: dt.datetime) -> dict[str, int]:
    """Settle what `testimony.worker` still holds; return how many e-mails by outcome kind."""
    if not testimony.claimed:
        return {}
    ids = sorted(testimony.claimed)
    with session.transaction():
        held = session.execute(
            _HELD, {"ids": ids, "low": ids[0], "high": ids[-1], "worker": testimony.worker}
        ).fetchall()
        outcomes = [_outcome((row[0], row[1]), row[2], testimony, now) for row in held]
        attempts.record(session, outcomes, None)
    kinds = [outcome.kind for outcome in outcomes]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def lost_with_host(leases: Sequence[Key], now: dt.datetime) -> list[Outcome]:
    """Return `unknown` for leases that ran out and whose journal never showed up."""
    reason = "lease ran out and no journal tells whether it was sent"
    return [_verdict(key, State.UNKNOWN, 0, reason, now) for key in leases]


def _outcome(key: Key, starts: int, testimony: Testimony, now: dt.datetime) -> Outcome:
    reply = testimony.replied.get(key)
    if reply is None:
        if key in testimony.started:
            return _verdict(key, State.UNKNOWN, 0, "worker died before the reply", now)
        back = _verdict(key, State.SCHEDULED, 0, "worker died before the mail was sent", now)
        return replace(back, due_at=now + _apart(key, starts), worker_died=True)
    code, text = reply
    if code < 400:
        return _verdict(key, State.SENT, code, text, now)
    if code < 500:
        return _verdict(key, State.SCHEDULED, code, text, now)
    return _verdict(key, State.FAILED, code, text, now)


def _apart(key: Key, starts: int) -> dt.timedelta:
    """Return how long a mail waits whose workers died of it or of its neighbours.

    The first time not at all. After that mails that died together come back apart from each other,
    so that the one that is to blame dies alone.
    """
    if starts < 2:
        return dt.timedelta()
    email_id, fence = key
    return dt.timedelta(milliseconds=email_id.int * (2 * fence + 1) % _SPREAD_MS)


def _verdict(key: Key, target: State, code: int, text: str, now: dt.datetime) -> Outcome:
    was_tried = target is not State.SCHEDULED or code > 0
    due_at = now + _AFTER_DEFERRAL if code else now
    return Outcome(
        email_id=key[0],
        fence=key[1],
        target=target,
        code=code,
        reason=None if target is State.SENT else text,
        due_at=due_at if target is State.SCHEDULED else None,
        event_id=new_ids(1, now)[0],
        data={"code": code, "text": text, "source": "journal"} if was_tried else None,
        is_attempt=was_tried,
    )
