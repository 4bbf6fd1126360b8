"""Sending limits in Redis: one Lua call takes n mails out of every limit at once (DESIGN 9).

account: rolling 60 minutes (61 one-minute cells, the oldest counted in full: never over, at most a
minute late), UTC day, minimum gap. app, queue, everything, recipient domain: sliding minute. Redis
is the only clock, unless a caller passes `now_ms`. What is refused consumes nothing.

Redis may lose everything: an account with limits but without counts is *cold* and grants nothing
until `seed()` has rebuilt it from PostgreSQL. Keys of one account share the hash tag `{account}`;
a Redis Cluster serves limits of accounts, and the limits above them need a single Redis.
"""

import datetime as dt
import functools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from typing import Any
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.errors import DependencyUnavailable

UNLIMITED = 1 << 31  # mails: the capacity of an account without limits
# A mail reserved under a gap is on its way for so long at most; then its worker is taken for dead.
HELD_MS = 120_000

_TIMEOUT_S = 2.0
_MINUTE_MS = 60_000


class Limit(StrEnum):
    """Which limit kept a mail back; COLD: the counts of the account have to be rebuilt first."""

    ACCOUNT_HOUR = "account_hour"
    ACCOUNT_DAY = "account_day"
    ACCOUNT_GAP = "account_gap"
    QUEUE = "queue"
    APP = "app"
    GLOBAL = "global"
    DOMAIN = "domain"
    COLD = "cold"


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
        return [_text(self.hourly_limit), _text(self.daily_limit), self.min_gap_ms]


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
    queue_per_minute: int | None = None
    app_per_minute: int | None = None
    global_per_minute: int | None = None
    domain_limits: Mapping[str, int] = field(default_factory=dict)

    def gates(self) -> list[tuple[Limit, str, int]]:
        """Return the minute limits above the account: (name, key, mails a minute)."""
        gates = (
            (Limit.GLOBAL, "rate:global", self.global_per_minute),
            (Limit.APP, f"rate:app:{self.app_id}", self.app_per_minute),
            (Limit.QUEUE, f"rate:queue:{self.queue_id}", self.queue_per_minute),
        )
        return [(name, key, limit) for name, key, limit in gates if limit is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """How many mails may go now. `next_slot_at` and `binding` are set when some may not."""

    granted: int
    by_domain: Mapping[str, int]
    next_slot_at: dt.datetime | None
    binding: Limit | None
    reserved_at: dt.datetime

    @property
    def is_cold(self) -> bool:
        """The account has to be seeded before it grants anything."""
        return self.binding is Limit.COLD


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQuota:
    """An account whose capacity is asked for."""

    account_id: UUID
    limits: AccountLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many mails an account may send within the horizon, and when the next one may go.

    A cold account answers as if it had sent nothing; its first reservation tells.
    """

    count: int
    next_slot_at: dt.datetime
    is_cold: bool = False


class RateLimiter:
    """The limits in one Redis; safe to share between threads. Each method is one round trip.

    All methods raise DependencyUnavailable when Redis is away. `now_ms` (tests) is Unix time in
    milliseconds; None asks the clock of Redis.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),  # an idle connection that was cut; never a long wait
            decode_responses=True,
        )
        self._scripts: dict[str, Any] = {
            name: self._redis.register_script(source) for name, source in _sources().items()
        }

    def reserve(self, request: Reservation, *, now_ms: int | None = None) -> Grant:
        """Take up to the wanted mails out of every limit at once.

        Under a minimum gap one mail is granted, and the next only after `sent()` or
        `give_back()` (or two minutes, should the worker die in between).
        """
        gates, limits = request.gates(), request.domain_limits
        keys = _keys(request, now_ms, (name for name in request.domains if name in limits))
        argv: list[str | int] = [_text(now_ms), *request.limits.argv(), HELD_MS, len(gates)]
        for name, _, limit in gates:
            argv += [name, limit]
        for domain, wanted in request.domains.items():
            argv += [wanted, _text(limits.get(domain))]
        return _grant(request, self._run("reserve", keys, argv))

    def sent(self, account_id: UUID, min_gap_ms: int, *, now_ms: int | None = None) -> dt.datetime:
        """Count the minimum gap from now, when the server has answered; return the next slot."""
        reply = self._run("sent", [_account_key(account_id)], [_text(now_ms), min_gap_ms])
        return _time(reply)

    def give_back(
        self,
        request: Reservation,
        grant: Grant,
        by_domain: Mapping[str, int],
        *,
        now_ms: int | None = None,
    ) -> None:
        """Put granted mails that were never tried (`by_domain`) back into every limit."""
        total = sum(by_domain.values())
        if total == 0:
            return
        reserved_ms = round(grant.reserved_at.timestamp() * 1000)
        limited = [name for name in by_domain if name in request.domain_limits]
        keys = _keys(request, reserved_ms, limited)
        counts = [*(total for _ in request.gates()), *(by_domain[name] for name in limited)]
        # Lua reads the count of KEYS[i] at ARGV[i + 1].
        self._run("give_back", keys, [_text(now_ms), reserved_ms, total, *counts])

    def seed(
        self,
        account_id: UUID,
        mails_by_minute: Mapping[dt.datetime, int],
        *,
        now_ms: int | None = None,
    ) -> bool:
        """Rebuild a cold account from mails counted in PostgreSQL; return whether it was cold.

        Counts reach back over the last 61 minutes and the whole UTC day. Nothing is changed when
        another process was first.
        """
        argv: list[str | int] = [_text(now_ms)]
        for minute, mails in sorted(mails_by_minute.items()):
            argv += [int(minute.timestamp()) * 1000 // _MINUTE_MS, mails]
        return bool(self._run("seed", [_account_key(account_id)], argv))

    def peek(
        self, accounts: Sequence[AccountQuota], horizon_ms: int, *, now_ms: int | None = None
    ) -> dict[UUID, Capacity]:
        """Tell how many mails each account may send within the horizon; consumes nothing."""
        limited = [account for account in accounts if not account.limits.is_unlimited]
        now = dt.datetime.now(dt.UTC) if now_ms is None else _time(now_ms)
        free = Capacity(count=UNLIMITED, next_slot_at=now)
        capacities = {account.account_id: free for account in accounts}
        if limited:
            argv: list[str | int] = [_text(now_ms), horizon_ms]
            argv += [value for account in limited for value in account.limits.argv()]
            keys = [_account_key(account.account_id) for account in limited]
            reply = iter(self._run("peek", keys, argv))
            for account, count, slot, warm in zip(limited, reply, reply, reply, strict=True):
                capacities[account.account_id] = Capacity(
                    count=count, next_slot_at=_time(slot), is_cold=not warm
                )
        return capacities

    def sent_this_hour(self, account_id: UUID, at: dt.datetime) -> int:
        """Return the mails of the clock hour of `at`, as reports show it (kept for two hours)."""
        key = _account_keys(account_id, round(at.timestamp() * 1000))[1]
        with _redis_needed():
            return int(self._redis.get(key) or 0)

    def ping(self) -> None:
        """Return when Redis answers."""
        with _redis_needed():
            self._redis.ping()

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    def _run(self, name: str, keys: Sequence[str], argv: Sequence[str | int]) -> Any:
        with _redis_needed():
            return self._scripts[name](keys=keys, args=argv)


@contextmanager
def _redis_needed() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise DependencyUnavailable(
            "Redis cannot be used.",
            why=f"{error}.",
            fix="Check REDIS_URL and that the server runs (`mailqueue doctor`); mails wait.",
        ) from error


@functools.cache
def _sources() -> dict[str, str]:
    """Return every script by name, with the Lua that it builds on in front."""
    folder = resources.files("app.policy") / "lua"
    account, minute = ((folder / f"{name}.lua").read_text() for name in ("account", "minute"))
    names = ("reserve", "peek", "sent", "seed", "give_back")
    return {name: account + minute + (folder / f"{name}.lua").read_text() for name in names}


def _grant(request: Reservation, reply: Sequence[Any]) -> Grant:
    name, slot_ms, now_ms, *granted = reply
    granted = granted or [0] * len(request.domains)
    return Grant(
        granted=sum(granted),
        by_domain=dict(zip(request.domains, granted, strict=True)),
        next_slot_at=_time(slot_ms) if name else None,
        binding=Limit(name) if name else None,
        reserved_at=_time(now_ms),
    )


def _account_key(account_id: UUID) -> str:
    return f"rate:{{{account_id}}}"


def _account_keys(account_id: UUID, at_ms: int | None) -> tuple[str, str]:
    """Return the account's key and its report of the hour, named by UTC."""
    hour = time.strftime("%Y%m%d%H", time.gmtime(None if at_ms is None else at_ms / 1000))
    return _account_key(account_id), f"email_rate:{{{account_id}}}:{hour}"


def _keys(request: Reservation, at_ms: int | None, domains: Iterable[str]) -> list[str]:
    """Return the keys in the order of the scripts: account, report, gates, limited domains."""
    gates = (key for _, key, _ in request.gates())
    account = _account_keys(request.account_id, at_ms)
    return [*account, *gates, *(f"rate:domain:{name}" for name in domains)]


def _time(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def _text(number: int | None) -> str | int:
    return "" if number is None else number
