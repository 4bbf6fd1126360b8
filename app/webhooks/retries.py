"""When a delivery is tried again, and for how long an endpoint that fails is left alone. Pure.

Sixteen retries over more than 30 hours: a consumer that is down for a day misses nothing.
"""

import datetime as dt
import random
from dataclasses import dataclass

DELAYS_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, *(10_800,) * 9)
_JITTER = 0.2

_REST_S = 5.0
_MOST_REST_S = 600.0

# An endpoint that has failed without a break for so long is paused, and its owner told why.
PAUSE_AFTER = dt.timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an endpoint said: `code` 0 and `error` when it did not answer at all.

    `body` is cut to what the log keeps, `headers` are those of the request.
    """

    code: int
    error: str | None
    body: str
    duration_ms: int
    headers: dict[str, str]

    @property
    def is_success(self) -> bool:
        """Tell whether the endpoint has it."""
        return 200 <= self.code < 300

    @property
    def is_gone(self) -> bool:
        """Tell whether the endpoint wants nothing any more (RFC 9110, 15.5.11)."""
        return self.code == 410

    @property
    def is_endpoints_fault(self) -> bool:
        """Tell whether the next delivery would fail as well: not answered, busy, or broken."""
        return not self.is_success and not (400 <= self.code < 500 and self.code not in {408, 429})


def next_try(attempts: int, now: dt.datetime) -> dt.datetime | None:
    """Return when to try again after `attempts` tries; None when that was the last."""
    if attempts > len(DELAYS_S):
        return None
    return now + dt.timedelta(seconds=DELAYS_S[attempts - 1] * _spread())


def rest_until(failures: int, now: dt.datetime) -> dt.datetime:
    """Return when an endpoint is asked again after `failures` in a row."""
    rest_s = min(_REST_S * 2 ** min(failures - 1, 10), _MOST_REST_S)
    return now + dt.timedelta(seconds=rest_s * _spread())


def _spread() -> float:
    """Return a factor that is never below one: no try comes early, no two endpoints in step."""
    return 1 + random.random() * _JITTER  # noqa: S311 - no secret: spreads retries
