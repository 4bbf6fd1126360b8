"""What the senders of a campaign share: mails a minute, and quotas of their app. Pure.

Part of the forecast (app/scheduling/forecast): times are Unix milliseconds.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

MINUTE_MS, DAY_MS = 60_000, 86_400_000


class Bound(StrEnum):
    """What a mail waits for."""

    WINDOW = "window"
    HOUR = "account_hour"
    DAY = "account_day"
    GAP = "account_gap"
    QUEUE = "queue"
    APP = "app"
    APP_DAY = "app_day"
    APP_MONTH = "app_month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What an app may send in a UTC day or month; `used` of the one that runs now."""

    bound: Bound
    mails: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all senders of a campaign share: mails a minute by what limits them, and quotas."""

    per_minute: Mapping[Bound, int]
    quotas: tuple[Quota, ...] = ()


class Shares:
    """What is left of what all senders share."""

    def __init__(self, shared: Shared, now_ms: int) -> None:
        self._per_minute = min(shared.per_minute.items(), key=lambda item: item[1], default=None)
        self._minutes: Counter[int] = Counter()
        self._quotas = shared.quotas
        self._used = {(quota.bound, _period(quota, now_ms)): quota.used for quota in shared.quotas}

    def refusal(self, at: int) -> tuple[int, Bound] | None:
        """Return until when a mail at `at` has to wait, and for what; None when it may go."""
        minute = at // MINUTE_MS
        if self._per_minute is not None and self._minutes[minute] >= self._per_minute[1]:
            return (minute + 1) * MINUTE_MS, self._per_minute[0]
        for quota in self._quotas:
            period = _period(quota, at)
            if self._used.get((quota.bound, period), 0) >= quota.mails:
                return _begins(quota, period + 1), quota.bound
        return None

    def take(self, at: int) -> None:
        """Count a mail."""
        self._minutes[at // MINUTE_MS] += 1
        for quota in self._quotas:
            key = (quota.bound, _period(quota, at))
            self._used[key] = self._used.get(key, 0) + 1


def _period(quota: Quota, at: int) -> int:
    """Return the number of the UTC day or month."""
    if quota.bound is Bound.APP_DAY:
        return at // DAY_MS
    day = moment(at)
    return day.year * 12 + day.month - 1


def _begins(quota: Quota, period: int) -> int:
    if quota.bound is Bound.APP_DAY:
        return period * DAY_MS
    return millis(dt.datetime(period // 12, period % 12 + 1, 1, tzinfo=dt.UTC))


def millis(at: dt.datetime) -> int:
    """Return Unix time in milliseconds."""
    return round(at.timestamp() * 1000)


def moment(at_ms: int) -> dt.datetime:
    """Return the UTC time of Unix milliseconds."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
