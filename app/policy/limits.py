"""What may be limited and how a limit answers: the words of app/policy/rate_limits. Pure.

account: rolling hour, UTC day (warm-up included), minimum gap. app: sliding minute, and quotas of
the UTC day and month. queue, recipient domain of one app, everything: sliding minute.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from app.policy.warmup import WarmUp, daily_limit

UNLIMITED = 1 << 31  # mails: the capacity of an account without limits
# A mail postponed by a minute's limit comes back after so long at most: raised limits hold soon.
LONGEST_SPREAD = dt.timedelta(seconds=60)


class Limit(StrEnum):
    """Which limit kept a mail back; COLD and APP_COLD: counts have to be rebuilt first."""

    ACCOUNT_HOUR = "account_hour"
    ACCOUNT_DAY = "account_day"
    ACCOUNT_GAP = "account_gap"
    QUEUE = "queue"
    APP = "app"
    APP_DAY = "app_day"
    APP_MONTH = "app_month"
    GLOBAL = "global"
    DOMAIN = "domain"
    COLD = "cold"
    APP_COLD = "app_cold"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """What one sender may do; None = not limited. `daily_limit` is today's, warm-up included."""

    hourly_limit: int | None = None
    daily_limit: int | None = None
    min_gap_ms: int = 0

    @property
    def is_unlimited(self) -> bool:
        """Nothing is counted for this account."""
        return self.hourly_limit is None and self.daily_limit is None and self.min_gap_ms == 0

    def argv(self) -> list[str | int]:
        """Return the limits as the scripts read them."""
        return [text(self.hourly_limit), text(self.daily_limit), self.min_gap_ms]

    def warmed(self, ramp: WarmUp | None, on: dt.date) -> "AccountLimits":
        """Return the limits of the UTC day `on`, where the warm-up allows less than the limit."""
        return AccountLimits(
            hourly_limit=self.hourly_limit,
            daily_limit=daily_limit(self.daily_limit, ramp, on),
            min_gap_ms=self.min_gap_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLimits:
    """What one app may do; None = not limited. Quotas are of the UTC day and month."""

    per_minute: int | None = None
    daily_quota: int | None = None
    monthly_quota: int | None = None

    @property
    def has_quota(self) -> bool:
        """Mails of the day or the month are counted for this app."""
        return self.daily_quota is not None or self.monthly_quota is not None

    def argv(self) -> list[str | int]:
        """Return the quotas as the scripts read them."""
        return [text(self.daily_quota), text(self.monthly_quota)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One limit of a sliding minute: its name, where it is counted, mails a minute."""

    limit: Limit
    key: str
    per_minute: int


def global_gate(per_minute: int) -> Gate:
    """Return the gate of everything."""
    return Gate(limit=Limit.GLOBAL, key="rate:global", per_minute=per_minute)


def app_gate(app_id: UUID, per_minute: int) -> Gate:
    """Return the gate of an app."""
    return Gate(limit=Limit.APP, key=f"rate:app:{app_id}", per_minute=per_minute)


def queue_gate(queue_id: UUID, per_minute: int) -> Gate:
    """Return the gate of a queue."""
    return Gate(limit=Limit.QUEUE, key=f"rate:queue:{queue_id}", per_minute=per_minute)


def domain_gate(app_id: UUID, domain: str, per_minute: int) -> Gate:
    """Return the gate of a recipient domain, for one app."""
    return Gate(limit=Limit.DOMAIN, key=f"rate:domain:{app_id}:{domain}", per_minute=per_minute)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Who wants to send how much now. `domains`: wanted mails by recipient domain, in order.

    `domain_limits` are mails a minute; a domain that is not listed is not limited.
    """

    app_id: UUID
    queue_id: UUID
    account_id: UUID
    limits: AccountLimits
    domains: Mapping[str, int]
    app_limits: AppLimits = AppLimits()
    queue_per_minute: int | None = None
    global_per_minute: int | None = None
    domain_limits: Mapping[str, int] = field(default_factory=dict)

    def gates(self) -> list[Gate]:
        """Return the minute limits above the account."""
        found = []
        if self.global_per_minute is not None:
            found.append(global_gate(self.global_per_minute))
        if self.app_limits.per_minute is not None:
            found.append(app_gate(self.app_id, self.app_limits.per_minute))
        if self.queue_per_minute is not None:
            found.append(queue_gate(self.queue_id, self.queue_per_minute))
        return found

    def domain_gate(self, domain: str) -> Gate | None:
        """Return the gate of a wanted domain; None when it is not limited."""
        limit = self.domain_limits.get(domain)
        return None if limit is None else domain_gate(self.app_id, domain, limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """How many mails may go now. `next_slot_at` and `binding` are set when some may not.

    Who has claimed by `usable_until_s` (monotonic clock) may send, later claims may not. `epoch`
    names the life of Redis it was counted in.
    """

    granted: int
    by_domain: Mapping[str, int]
    next_slot_at: dt.datetime | None
    binding: Limit | None
    reserved_at: dt.datetime
    epoch: str
    usable_until_s: float

    @property
    def is_cold(self) -> bool:
        """Counts have to be seeded before anything is granted."""
        return self.binding in {Limit.COLD, Limit.APP_COLD}

    @property
    def is_settled(self) -> bool:
        """No grant of a lost Redis is still on its way to a claim: the rows tell all there is."""
        return self.next_slot_at is None or self.next_slot_at <= self.reserved_at


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQuota:
    """An account whose capacity is asked for."""

    account_id: UUID
    limits: AccountLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many mails may go within the horizon, and when the next one may.

    Where counts are cold it answers as if nothing had been sent; the first reservation tells.
    """

    count: int
    next_slot_at: dt.datetime
    is_cold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an app has sent, as PostgreSQL counts it; `day` and `month` are numbers since 1970."""

    day: int
    today: int
    month: int
    this_month: int


def spread(first: dt.datetime, per_minute: int, count: int) -> list[dt.datetime]:
    """Return when `count` refused mails may try again: at the limit's own pace, from `first` on."""
    step = dt.timedelta(minutes=1) / per_minute
    return [first + min(number * step, LONGEST_SPREAD) for number in range(count)]


def text(number: int | None) -> str | int:
    """Return a number as the scripts read it: empty is no limit."""
    return "" if number is None else number
