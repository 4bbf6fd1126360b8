"""What an SMTP attempt means for an e-mail. Pure: a reply, a policy and a time in, an outcome out.

A 4xx defers by the queue's delays; a 5xx fails once and for all; a reply never seen is `unknown`
and is never resent by itself; a mail the server never had whole goes back without an attempt.
"""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, assert_never
from uuid import UUID

from app.lifecycle.attempts import Outcome
from app.lifecycle.states import State
from app.mail.classify import Evidence, classify
from app.mail.retry_hint import retry_hint_s
from app.mail.rules import BounceClass
from app.policy.throttle import is_throttling
from app.sending.route import RetryPolicy
from app.smtp.connection import Stage
from app.smtp.transaction import Attempt, Verdict

# The mailbox or its domain does not exist (TRUST.md, classification): suppress.
_HARD = re.compile(r"\b5\.1\.(?:1|2|3|6|10)\b")
_DISABLED = re.compile(r"\b5\.2\.1\b.*(?:no such|disabled|does not exist)", re.IGNORECASE)

_RECIPIENT_STAGES = frozenset({Stage.RCPT, Stage.DATA, Stage.DOT})
# Until its breaker opens, a server that failed is asked again after this time.
SERVER_PAUSE = dt.timedelta(seconds=2)
# The first start may have been ended by a neighbour; after that a mail goes alone.
MOST_STARTS = 4
_CLOSING = 421
# A broken journal leaves mails untried at DATA, our own deadlines at no stage of the server's.
_NOT_THE_SERVERS = frozenset({Stage.LOCAL, Stage.DATA})
_HINT_S = range(5, 6 * 3_600 + 1)
_DIALOGUE_SHARE = 100  # plain successes keep their whole dialogue for 1 in 100 (DESIGN 8)


class Claimed(NamedTuple):
    """An e-mail this worker holds, a row of `attempts.claim`: its fence, which attempt this is, its age, its first attempt.

    `starts` counts claims, this one too, since a worker last lived to say what became of it.
    """

    email_id: UUID
    fence: int
    attempt: int
    created_at: dt.datetime
    first_claimed_at: dt.datetime
    starts: int = 1

    @property
    def is_poison(self) -> bool:
        """Tell whether it has ended too many workers to be tried again."""
        return self.starts > MOST_STARTS


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


def block_of(attempt: Attempt, to_email: str) -> str | None:
    """Return by what sign a refusal is about the sender ("" = it is about the mail or a policy).

    None: the attempt was not refused, or because of the recipient.
    """
    if attempt.verdict is not Verdict.REFUSED or attempt.stage is Stage.LOCAL:
        return None
    if is_hard_bounce(attempt):
        return None
    found = classify(Evidence(address=to_email, diagnostic=f"{attempt.code} {attempt.text}"))
    return found.sender_sign if found.class_ is BounceClass.BLOCK else None


def is_exhausted(attempt: Attempt, outcome: Outcome) -> bool:
    """Tell whether a mail failed although its server never refused it for good."""
    is_deferral = attempt.verdict is Verdict.DEFERRED
    is_ours = attempt.stage is Stage.LOCAL and attempt.text.startswith(_POISONED)
    return outcome.target is State.FAILED and (is_deferral or is_ours)


def poisoned(held: Claimed) -> Attempt:
    """Return the attempt of a mail that is not tried any more, because its workers died of it."""
    text = f"{_POISONED}: {held.starts - 1} workers died while they held this mail"
    return Attempt(verdict=Verdict.REFUSED, code=0, text=text, stage=Stage.LOCAL)


_POISONED = "poison message"


def is_server_failure(attempt: Attempt) -> bool:
    """Tell whether the server, not the mail, is the reason: the rest of a chunk need not try."""
    if attempt.verdict is Verdict.UNTRIED:
        return attempt.code == _CLOSING or attempt.stage not in _NOT_THE_SERVERS
    return attempt.verdict is Verdict.UNKNOWN or attempt.code == _CLOSING


def is_answer(attempt: Attempt) -> bool:
    """Tell whether the server took a mail or refused it: it works, whatever it said."""
    if attempt.verdict in {Verdict.UNTRIED, Verdict.UNKNOWN} or attempt.stage is Stage.LOCAL:
        return False
    return attempt.code != _CLOSING


def server_failure(attempts: Sequence[Attempt]) -> str | None:
    """Return why the server failed a whole submit; None when it answered a mail or none was tried."""
    if any(is_answer(attempt) for attempt in attempts):
        return None
    failure = next((attempt for attempt in attempts if is_server_failure(attempt)), None)
    return None if failure is None else _reason(failure, State.SCHEDULED)


def keeps_dialogue(email_id: UUID) -> bool:
    """Tell whether the mail is the one in a hundred whose whole dialogue is kept if all goes well."""
    return email_id.int % _DIALOGUE_SHARE == 0


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
            due_at = _retry_at(held, policy, retry_hint_s(attempt.text), now)
            return (State.SCHEDULED, due_at, True) if due_at else (State.FAILED, None, True)
        case never:
            assert_never(never)


def _retry_at(
    held: Claimed, policy: RetryPolicy, hint_s: int | None, now: dt.datetime
) -> dt.datetime | None:
    """Return when to try again: when the server said so, otherwise after the queue's delay."""
    wait_s = None if hint_s is None else min(max(hint_s, _HINT_S.start), _HINT_S.stop - 1)
    if held.attempt <= len(policy.delays_s):
        return now + dt.timedelta(seconds=wait_s or policy.delays_s[held.attempt - 1])
    if policy.max_age_s is None or not policy.delays_s:
        return None
    due_at = now + dt.timedelta(seconds=wait_s or policy.delays_s[-1])
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
    if attempt.verdict is not Verdict.ACCEPTED or keeps_dialogue(held.email_id):
        data["stage"] = str(attempt.stage)
        data["connection"] = attempt.connection_id
        data["tls"] = attempt.tls
        data["dialogue"] = attempt.dialogue
    return data
