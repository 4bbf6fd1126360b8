"""When a server is left alone: the circuit breaker of one SMTP server. Pure: no clock, no storage.

    closed --5 server failures in a row--> open --30 s--> half-open --3 probes answered--> closed
                                            ^---- a probe failed ----'

A server failure is one submit in which the server answered no mail: connect, TLS, AUTH, 421, or a
final dot that nobody answered. A recipient that is refused is an answer. While a breaker is not
closed, one mail at a time goes out as a probe, however many workers look at it.
"""

import datetime as dt
from dataclasses import dataclass, replace
from enum import StrEnum

OPENS_AFTER = 5
CLOSES_AFTER = 3
OPEN_FOR = dt.timedelta(seconds=30)
# A probe whose worker died is given to another one after this time.
PROBE_LEASE = dt.timedelta(minutes=2)


class Phase(StrEnum):
    """What a breaker lets through: everything, nothing, one probe at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The state of one server's breaker; `probe_at` = when the next probe may start."""

    phase: Phase = Phase.CLOSED
    failures: int = 0
    successes: int = 0
    probe_at: dt.datetime | None = None
    reason: str | None = None

    @property
    def is_closed(self) -> bool:
        """Tell whether mail flows freely."""
        return self.phase is Phase.CLOSED

    @property
    def is_spotless(self) -> bool:
        """Tell whether an answer of the server would change nothing."""
        return self.is_closed and self.failures == 0


CLOSED = Breaker()


def failed(breaker: Breaker, reason: str, now: dt.datetime) -> Breaker:
    """Return the breaker after a server failure."""
    failures = breaker.failures + 1
    if breaker.phase is Phase.OPEN:
        # A submit from before it opened comes late: the time of the probe stays.
        return replace(breaker, failures=failures, reason=reason)
    if breaker.is_closed and failures < OPENS_AFTER:
        return replace(breaker, failures=failures, reason=reason)
    return Breaker(phase=Phase.OPEN, failures=failures, probe_at=now + OPEN_FOR, reason=reason)


def answered(breaker: Breaker, now: dt.datetime) -> Breaker:
    """Return the breaker after the server answered a mail, with whatever reply but 421."""
    if breaker.is_closed:
        return CLOSED
    if breaker.phase is Phase.OPEN:
        return breaker
    successes = breaker.successes + 1
    if successes >= CLOSES_AFTER:
        return CLOSED
    return replace(breaker, successes=successes, probe_at=now)


def probing(breaker: Breaker, now: dt.datetime) -> Breaker | None:
    """Return the breaker with its probe taken; None when it is closed or it is not the time."""
    if breaker.is_closed or (breaker.probe_at is not None and now < breaker.probe_at):
        return None
    return replace(breaker, phase=Phase.HALF_OPEN, probe_at=now + PROBE_LEASE)


def let_go(breaker: Breaker, now: dt.datetime) -> Breaker:
    """Return the breaker after a probe that never reached the server: the next may start at once."""
    return replace(breaker, probe_at=now) if breaker.phase is Phase.HALF_OPEN else breaker
