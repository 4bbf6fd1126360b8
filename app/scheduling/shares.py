"""What mails share beyond their sender: mails a minute, quotas of their app, slowed domains. Pure.

Part of the forecast (app/scheduling/forecast): times are Unix milliseconds.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.policy.throttle import Pacing, pace

MINUTE_MS, DAY_MS = 60_000, 86_400_000

_NO_END = 1 << 31  # mails


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
    GLOBAL = "global"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What an app may send in a UTC day or month; `used` of the one that runs now."""

    bound: Bound
    mails: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all senders of a campaign share: mails a minute by what limits them, quotas, domains.

    `domains`: recipient domains that are slowed or overridden; the others are not limited.
    """

    per_minute: Mapping[Bound, int]
    quotas: tuple[Quota, ...] = ()
    domains: Mapping[str, Pacing] = field(default_factory=dict)


class Shares:
    """What is left of what all senders share."""

    def __init__(self, shared: Shared, now_ms: int) -> None:
        self._per_minute = min(shared.per_minute.items(), key=lambda item: item[1], default=None)
        self._minutes: Counter[int] = Counter()
        self._quotas = shared.quotas
        self._used = {(quota.bound, _period(quota, now_ms)): quota.used for quota in shared.quotas}
        self._domains = shared.domains
        self._of_domains: Counter[tuple[str, int]] = Counter()
        self._paces: dict[tuple[str, int], int] = {}
        self.are_limited = self._per_minute is not None or bool(self._quotas)

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

    def room(self, at: int) -> int:
        """Return how many mails may go in the minute of `at`."""
        found = _NO_END
        if self._per_minute is not None:
            found = self._per_minute[1] - self._minutes[at // MINUTE_MS]
        for quota in self._quotas:
            found = min(found, quota.mails - self._used.get((quota.bound, _period(quota, at)), 0))
        return found

    def take(self, at: int, mails: int) -> None:
        """Count mails of the minute of `at`."""
        self._minutes[at // MINUTE_MS] += mails
        for quota in self._quotas:
            key = (quota.bound, _period(quota, at))
            self._used[key] = self._used.get(key, 0) + mails

    def room_of(self, domain: str, at: int) -> int:
        """Return how many mails of a slowed domain may go in the minute of `at`."""
        minute = at // MINUTE_MS
        key = (domain, minute)
        limit = self._paces.get(key)
        if limit is None:
            found = pace(self._domains[domain], moment(minute * MINUTE_MS))
            limit = self._paces[key] = found.per_minute if found else _NO_END
        return limit - self._of_domains[key]

    def take_of(self, domain: str, at: int, mails: int) -> None:
        """Count mails of a slowed domain."""
        self._of_domains[domain, at // MINUTE_MS] += mails


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
