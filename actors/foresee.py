"""foresee: what the clock has done every minute. Running campaigns keep a fresh forecast.

Bounded: a forecast of 100,000 people costs half a second of CPU, and a round ends after a few.
"""

from actors import runtime
from actors.declare import tick_actor
from app.campaigns import outlook
from app.clock import monotonic_s, utc_now
from app.queueing.payloads import TickPayload
from app.queueing.steps import MAINTENANCE

_ROUND_S = 5.0


def refresh_forecasts(payload: TickPayload) -> None:
    """Store the forecasts of running campaigns anew, the oldest first, for five seconds at most."""
    del payload
    session, ends_at = runtime.session(), monotonic_s() + _ROUND_S
    while monotonic_s() < ends_at and outlook.refresh_oldest(session, utc_now()):
        pass


tick_actor(MAINTENANCE, refresh_forecasts)
