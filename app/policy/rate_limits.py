"""Sending limits in Redis: one Lua call takes n mails out of every limit at once (DESIGN 9).

account: rolling 60 minutes (61 one-minute cells, the oldest counted in full: never over, at most a
minute late), UTC day, minimum gap. app: quotas of the UTC day and month. app, queue, everything,
recipient domain: sliding minute. Redis is the only clock, unless a caller passes `now_ms`. What is
refused consumes nothing.

Redis may lose everything, or come back with old counts. Counts belong to an *epoch*; a wiped or
restarted Redis begins a new one (lua/epoch.lua, `_run`), in which every count is *cold* and grants
nothing until `seed()` or `seed_app()` has rebuilt it from PostgreSQL. Minutes are too short to be
rebuilt: they open gradually over the epoch's first minute. One Redis with its replicas, no
Cluster; maxmemory-policy noeviction.
"""

import datetime as dt
import functools
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from app.clock import monotonic_s
from app.errors import DependencyUnavailable
from app.policy.limits import (
    UNLIMITED,
    AccountQuota,
    AppLimits,
    Capacity,
    Gate,
    Grant,
    Limit,
    Reservation,
    Usage,
    text,
)

# A mail reserved under a gap is on its way for so long at most; then its worker is taken for dead.
HELD_MS = 120_000
# Who has not claimed by then must not send: after a wipe, counts are read when this has passed.
GRANT_LIFE_S = 2.0

_TIMEOUT_S = 2.0
_MINUTE_MS = 60_000
_LIBRARY = ("epoch", "account", "quota", "minute")
_SCRIPTS = ("reserve", "peek", "openings", "sent", "seed", "seed_app", "give_back", "renew")


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
        self._scripts: dict[str, Script] = {
            name: self._redis.register_script(source) for name, source in _sources().items()
        }

    def reserve(self, request: Reservation, *, now_ms: int | None = None) -> Grant:
        """Take up to the wanted mails out of every limit at once.

        Under a minimum gap one mail is granted, and the next only after `sent()` or
        `give_back()` (or two minutes, should the worker die in between).
        """
        gates = request.gates()
        keys = _keys(request, now_ms, request.domains)
        argv: list[str | int] = [text(now_ms), *request.limits.argv(), HELD_MS]
        argv += [*request.app_limits.argv(), len(gates)]
        for gate in gates:
            argv += [gate.limit, gate.per_minute]
        for domain, wanted in request.domains.items():
            argv += [wanted, text(request.domain_limits.get(domain))]
        usable_until_s = monotonic_s() + GRANT_LIFE_S
        return _grant(request, self._run("reserve", keys, argv), usable_until_s)

    def sent(self, account_id: UUID, min_gap_ms: int, *, now_ms: int | None = None) -> dt.datetime:
        """Count the minimum gap from now, when the server has answered; return the next slot."""
        reply = self._run("sent", [_account_key(account_id)], [text(now_ms), min_gap_ms])
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
        self._run("give_back", keys, [text(now_ms), reserved_ms, grant.epoch, total, *counts])

    def seed(
        self,
        account_id: UUID,
        mails_by_minute: Mapping[dt.datetime, int],
        *,
        epoch: str = "",
        now_ms: int | None = None,
    ) -> bool:
        """Rebuild a cold account from mails counted in PostgreSQL; return whether it was cold.

        Counts reach back over the last 61 minutes and the whole UTC day; `epoch` is the one in
        which they were asked for. Nothing is changed when another process was first.
        """
        argv: list[str | int] = [text(now_ms), epoch]
        for minute, mails in sorted(mails_by_minute.items()):
            argv += [int(minute.timestamp()) * 1000 // _MINUTE_MS, mails]
        return bool(self._run("seed", [_account_key(account_id)], argv))

    def seed_app(
        self, app_id: UUID, usage: Usage, *, epoch: str = "", now_ms: int | None = None
    ) -> bool:
        """Rebuild an app's cold quota from mails counted in PostgreSQL; like `seed`."""
        argv: list[str | int] = [text(now_ms), epoch]
        argv += [usage.day, usage.today, usage.month, usage.this_month]
        return bool(self._run("seed_app", [_quota_key(app_id)], argv))

    def peek(
        self, accounts: Sequence[AccountQuota], horizon_ms: int, *, now_ms: int | None = None
    ) -> dict[UUID, Capacity]:
        """Tell how many mails each account may send within the horizon; consumes nothing."""
        limited = [account for account in accounts if not account.limits.is_unlimited]
        now = dt.datetime.now(dt.UTC) if now_ms is None else _time(now_ms)
        free = Capacity(count=UNLIMITED, next_slot_at=now)
        capacities = {account.account_id: free for account in accounts}
        if limited:
            argv: list[str | int] = [text(now_ms), horizon_ms]
            argv += [value for account in limited for value in account.limits.argv()]
            keys = [_account_key(account.account_id) for account in limited]
            found = _capacities(self._run("peek", keys, argv))
            capacities |= {one.account_id: room for one, room in zip(limited, found, strict=True)}
        return capacities

    def openings(
        self,
        apps: Mapping[UUID, AppLimits],
        gates: Sequence[Gate],
        horizon_ms: int,
        *,
        now_ms: int | None = None,
    ) -> tuple[dict[UUID, Capacity], dict[Gate, Capacity]]:
        """Tell what the quotas of apps and the gates allow within the horizon; consumes nothing.

        Apps without a quota are left out.
        """
        quotas = [(app_id, limits) for app_id, limits in apps.items() if limits.has_quota]
        keys = [_quota_key(app_id) for app_id, _ in quotas] + [gate.key for gate in gates]
        argv: list[str | int] = [text(now_ms), horizon_ms, len(quotas)]
        argv += [value for _, limits in quotas for value in limits.argv()]
        argv += [gate.per_minute for gate in gates]
        found = _capacities(self._run("openings", keys, argv))
        by_app = {app_id: next(found) for app_id, _ in quotas}
        return by_app, {gate: next(found) for gate in gates}

    def sent_this_hour(self, account_id: UUID, at: dt.datetime) -> int:
        """Return the mails of the clock hour of `at`, as reports show it (kept for two hours)."""
        key = _report_key(account_id, round(at.timestamp() * 1000))
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
        """Run a script. `reserve` that is not known means a restart: its counts are not believed.

        Scripts live in the memory of the process, while an append-only file or a snapshot may
        bring back counts of some time ago. So the epoch ends before anything can be granted.
        """
        script = self._scripts[name]
        with _redis_needed():
            try:
                return self._redis.evalsha(script.sha, len(keys), *keys, *argv)
            except redis.exceptions.NoScriptError:
                if name == "reserve":
                    self._redis.eval(_sources()["renew"], 0, argv[0], uuid.uuid4().hex)
                return script(keys=keys, args=argv)


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
    """Return every script by name, with the Lua that they build on in front."""
    folder = resources.files("app.policy") / "lua"
    library = "".join((folder / f"{name}.lua").read_text() for name in _LIBRARY)
    return {name: library + (folder / f"{name}.lua").read_text() for name in _SCRIPTS}


def _grant(request: Reservation, reply: Sequence[Any], usable_until_s: float) -> Grant:
    name, slot_ms, now_ms, epoch, *granted = reply
    granted = granted or [0] * len(request.domains)
    return Grant(
        granted=sum(granted),
        by_domain=dict(zip(request.domains, granted, strict=True)),
        next_slot_at=_time(slot_ms) if name else None,
        binding=Limit(name) if name else None,
        reserved_at=_time(now_ms),
        epoch=epoch,
        usable_until_s=usable_until_s,
    )


def _capacities(reply: Iterable[int]) -> Iterator[Capacity]:
    numbers = iter(reply)
    for count, slot_ms, warm in zip(numbers, numbers, numbers, strict=True):
        yield Capacity(count=count, next_slot_at=_time(slot_ms), is_cold=not warm)


def _account_key(account_id: UUID) -> str:
    return f"rate:{{{account_id}}}"


def _report_key(account_id: UUID, at_ms: int | None) -> str:
    """Return where mails of a clock hour are counted for reports, named by UTC."""
    hour = time.strftime("%Y%m%d%H", time.gmtime(None if at_ms is None else at_ms / 1000))
    return f"email_rate:{{{account_id}}}:{hour}"


def _quota_key(app_id: UUID) -> str:
    return f"rate:quota:{app_id}"


def _keys(request: Reservation, at_ms: int | None, domains: Iterable[str]) -> list[str]:
    """Return the keys in the order of the scripts: account, report, quota, gates, domains."""
    account = request.account_id
    own = [_account_key(account), _report_key(account, at_ms), _quota_key(request.app_id)]
    limited = (gate for name in domains if (gate := request.domain_gate(name)))
    return [*own, *(gate.key for gate in request.gates()), *(gate.key for gate in limited)]


def _time(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)
