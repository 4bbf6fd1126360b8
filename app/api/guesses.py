"""Wrong secrets of the operator, by address: after so many a minute nobody from there is heard.

Keys and tokens are no guess: 256 bits and a signature. The operator's secret is what a person chose.
"""

import math
import threading

from flask import g

from app.clock import monotonic_s
from app.errors import RateLimited
from app.policy.request_limits import Allowance, TakeRequest

PER_MINUTE = 20
_MOST_ADDRESSES = 10_000


class Guesses:
    """Who guessed too often, in one process; the bucket that says so is shared by all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shut: dict[str, tuple[float, Allowance]] = {}

    def require_patience(self, address: str) -> None:
        """Raise RateLimited while nobody from this address is heard, whatever secret they bring."""
        ends_s, allowance = self._shut.get(address, (0.0, None))
        left_s = ends_s - monotonic_s()
        if allowance is None or left_s <= 0:
            return
        g.allowance = allowance
        raise RateLimited(
            "Too many wrong secrets.",
            why=f"An address has {PER_MINUTE} guesses a minute.",
            fix=f"Wait {math.ceil(left_s)} s, then send the right one.",
        )

    def note(self, address: str, take: TakeRequest) -> None:
        """Count a wrong secret."""
        allowance = take(f"guess:{address}", PER_MINUTE, PER_MINUTE)
        if allowance.retry_after_s is None:
            return
        with self._lock:
            if len(self._shut) >= _MOST_ADDRESSES:
                self._shut.clear()
            self._shut[address] = monotonic_s() + allowance.retry_after_s, allowance
