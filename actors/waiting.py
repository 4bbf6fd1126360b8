"""Waiting without losing anything: for PostgreSQL to come back, for the next slot of an account."""

import threading
from collections.abc import Callable
from typing import TypeVar

from actors import runtime
from app.clock import monotonic_s
from app.db.session import CONNECTION_LOST, Session
from app.errors import DependencyUnavailable
from app.log import Event, logger

T = TypeVar("T")

# Shorter than a lease: whoever gives up here leaves the rows to their journal.
_PATIENCE_S = 20 * 60.0
_LONGEST_PAUSE_S = 5.0

_never = threading.Event()


def sleep(seconds: float) -> None:
    """Wait; only ever called while no lease is held and no transaction is open."""
    _never.wait(seconds)


def patiently(action: Callable[[Session], T]) -> T:
    """Do `action` on this thread's session, again and again while PostgreSQL is away.

    `action` must bear a repeat: the commit that broke may have happened. Raises what PostgreSQL
    raised last when it stays away for 20 minutes.
    """
    gives_up_at = monotonic_s() + _PATIENCE_S
    pause_s = 0.1
    while True:
        try:
            return action(runtime.session())
        except (*CONNECTION_LOST, DependencyUnavailable) as error:
            if monotonic_s() > gives_up_at:
                raise
            logger().warning(Event.DEPENDENCY_LOST, dependency="postgresql", error=str(error))
        sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
