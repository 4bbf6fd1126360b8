"""What becomes of a simulated mail: the recipient says it, no server is asked. Pure.

Recipients at `simulator.<anything>` name an outcome in front of the @; what follows a plus sign is
theirs (`bounce+order-7@simulator.example`). Every other recipient gets the mail: sent, delivered.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from app.smtp.connection import Stage
from app.smtp.transaction import Attempt, Verdict

HOST = "simulator"
_MAGIC = re.compile(r"([a-z]+)(?:\+[^@]*)?@simulator\.[a-z0-9.-]+", re.IGNORECASE)


class Evidence(StrEnum):
    """What is learnt of a mail after a server took it, in the order in which it may happen."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPENED = "open"
    CLICKED = "click"
    UNSUBSCRIBED = "unsubscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """The answer of a server that is not there, and what follows when it took the mail."""

    attempt: Attempt
    evidence: tuple[Evidence, ...] = ()


_FOLLOWS: dict[str, tuple[Evidence, ...]] = {
    "bounce": (Evidence.BOUNCED,),
    "complaint": (Evidence.DELIVERED, Evidence.COMPLAINED),
    "open": (Evidence.DELIVERED, Evidence.OPENED),
    "click": (Evidence.DELIVERED, Evidence.OPENED, Evidence.CLICKED),
    "unsubscribe": (Evidence.DELIVERED, Evidence.OPENED, Evidence.UNSUBSCRIBED),
}
_DEFERRED = "4.7.1 simulated: try again in 5 seconds"
_REFUSED = "5.1.1 simulated: no such user"
_UNKNOWN = "simulated: the connection broke after the final dot"
_SUPPRESSED = "suppressed"


def play(to: str, attempt: int) -> Play:
    """Return what becomes of attempt number `attempt` (from 1) to send to the address `to`.

    `refuse` is a 550, `defer` a 451 at the first attempt, `unknown` a reply that is never seen.
    """
    wish = _wish(to)
    if wish == "refuse":
        return Play(attempt=_answer(Verdict.REFUSED, 550, _REFUSED))
    if wish == "defer" and attempt == 1:
        return Play(attempt=_answer(Verdict.DEFERRED, 451, _DEFERRED))
    if wish == "unknown" and attempt == 1:
        return Play(attempt=_answer(Verdict.UNKNOWN, 0, _UNKNOWN))
    evidence = _FOLLOWS.get(wish, (Evidence.DELIVERED,))
    return Play(attempt=_answer(Verdict.ACCEPTED, 250, "2.0.0 simulated"), evidence=evidence)


def is_suppressed(to: str) -> bool:
    """Tell whether the address asks to be treated as suppressed."""
    return _wish(to) == _SUPPRESSED


def _wish(to: str) -> str:
    found = _MAGIC.fullmatch(to)
    return found[1].lower() if found else ""


def _answer(verdict: Verdict, code: int, text: str) -> Attempt:
    stage = Stage.RCPT if verdict is Verdict.REFUSED else Stage.DOT
    return Attempt(verdict=verdict, code=code, text=text, stage=stage, host=HOST)
