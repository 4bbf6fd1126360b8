"""What an SMTP attempt means for an e-mail. Pure: a reply, a policy and a time in, an outcome out.

A 4xx defers by the queue's delays; a 5xx fails once and for all; a reply never seen is `unknown`
and is never resent by itself; a mail the server never had whole goes back without an attempt.
"""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any, assert_never
from uuid import UUID

from app.lifecycle.attempts import Outcome
from app.lifecycle.states import State
from app.policy.throttle import is_throttling
from app.sending.route import RetryPolicy
from app.smtp.connection import Stage
from app.smtp.transaction import Attempt, Verdict

# The mailbox or its domain does not exist (TRUST.md, classification): suppress.
_HARD = re.compile(r"\b5\.1\.(?:1|2|3|6|10)\b")
_DISABLED = re.compile(r"\b5\.2\.1\b.*(?:no such|disabled|does not exist)", re.IGNORECASE)

_SERVER_STAGES = frozenset({Stage.CONNECT, Stage.HELO, Stage.TLS, Stage.AUTH})
_RECIPIENT_STAGES = frozenset({Stage.RCPT, Stage.DATA, Stage.DOT})
SERVER_PAUSE = dt.timedelta(seconds=30)
_DIALOGUE_SHARE = 100  # plain successes keep their whole dialogue for 1 in 100 (DESIGN 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """An e-mail this worker holds: its fence, which attempt this is, its age, its first attempt."""

    email_id: UUID
    fence: int
    attempt: int
    created_at: dt.datetime
    first_claimed_at: dt.datetime


def decide(
    held: Claimed, attempt: Attempt, policy: RetryPolicy, *, now: dt.datetime, event_id: str
) -> Outcome:
    """Return what `attempt` makes of the e-mail."""
    target, due_at, is_attempt = _target(held, attempt, policy, now)
    return Outcome(
        email_id=held.email_id,
        fence=held.fence,
        target=target,
        code=attempt.code,
        reason=None if target is State.SENT else _reason(attempt, target),
        due_at=due_at,
        event_id=event_id,
        data=_evidence(held, attempt) if is_attempt else None,
        is_attempt=is_attempt,
    )


def is_hard_bounce(attempt: Attempt) -> bool:
    """Tell whether the reply proves that the recipient does not exist."""
    if attempt.verdict is not Verdict.REFUSED or attempt.stage not in {Stage.RCPT, Stage.DOT}:
        return False
    return bool(_HARD.search(attempt.text) or _DISABLED.search(attempt.text))


def is_server_failure(attempt: Attempt) -> bool:
    """Tell whether the server, not the mail, is the reason: the rest of a chunk need not try."""
    return attempt.verdict is Verdict.UNTRIED and attempt.stage in _SERVER_STAGES


def asks_to_slow_down(attempt: Attempt) -> bool:
    """Tell whether a recipient's domain wants mail more slowly; the server itself has its breaker."""
    if attempt.verdict is not Verdict.DEFERRED or attempt.stage not in _RECIPIENT_STAGES:
        return False
    return is_throttling(attempt.code, attempt.text)


def _target(
    held: Claimed, attempt: Attempt, policy: RetryPolicy, now: dt.datetime
) -> tuple[State, dt.datetime | None, bool]:
    match attempt.verdict:
        case Verdict.ACCEPTED:
            return State.SENT, None, True
        case Verdict.REFUSED:
            return State.FAILED, None, True
        case Verdict.UNKNOWN:
            return State.UNKNOWN, None, True
        case Verdict.UNTRIED:
            pause = SERVER_PAUSE if is_server_failure(attempt) else dt.timedelta(seconds=1)
            return State.SCHEDULED, now + pause, False
        case Verdict.DEFERRED:
            due_at = _retry_at(held, policy, now)
            return (State.SCHEDULED, due_at, True) if due_at else (State.FAILED, None, True)
        case never:
            assert_never(never)


def _retry_at(held: Claimed, policy: RetryPolicy, now: dt.datetime) -> dt.datetime | None:
    if held.attempt <= len(policy.delays_s):
        return now + dt.timedelta(seconds=policy.delays_s[held.attempt - 1])
    if policy.max_age_s is None or not policy.delays_s:
        return None
    due_at = now + dt.timedelta(seconds=policy.delays_s[-1])
    too_old = held.created_at + dt.timedelta(seconds=policy.max_age_s)
    return due_at if due_at <= too_old else None


def _reason(attempt: Attempt, target: State) -> str:
    said = f"{attempt.code} {attempt.text}".strip() if attempt.code else attempt.text
    if target is State.FAILED and attempt.verdict is Verdict.DEFERRED:
        return f"attempts exhausted; last reply: {said}"
    return f"{attempt.stage}: {said}"


def _evidence(held: Claimed, attempt: Attempt) -> dict[str, Any]:
    data: dict[str, Any] = {
        "attempt": held.attempt,
        "verdict": str(attempt.verdict),
        "code": attempt.code,
        "text": attempt.text,
        "host": attempt.host,
        "ms": round(attempt.elapsed_ms, 1),
    }
    if attempt.verdict is not Verdict.ACCEPTED or held.email_id.int % _DIALOGUE_SHARE == 0:
        data["stage"] = str(attempt.stage)
        data["connection"] = attempt.connection_id
        data["tls"] = attempt.tls
        data["dialogue"] = attempt.dialogue
    return data
