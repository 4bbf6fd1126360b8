"""How a new sender's daily limit grows, so that mailbox providers learn to trust it. Pure."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """The ramp of an account: `daily_start` mails on `started_on`, times `growth` every day."""

    started_on: dt.date
    daily_start: int
    growth: Decimal


def ramp(
    started_on: dt.date | None, daily_start: int | None, growth: Decimal | None
) -> WarmUp | None:
    """Return the ramp of an account's columns; None when it is not warmed up."""
    if started_on is None or daily_start is None or growth is None:
        return None
    return WarmUp(started_on=started_on, daily_start=daily_start, growth=growth)


def daily_limit(full_limit: int | None, ramp: WarmUp | None, on: dt.date) -> int | None:
    """Return the mails an account may send on the UTC day `on`; None = not limited.

    The ramp ends where it reaches `full_limit`; without one it ends after 90 days.
    """
    if ramp is None:
        return full_limit
    day = max(0, (on - ramp.started_on).days)
    if full_limit is None and day >= 90:
        return None
    ramped = int(ramp.daily_start * ramp.growth ** min(day, 365))
    return ramped if full_limit is None else min(full_limit, ramped)
