"""How many requests a key may make: a token bucket in Redis, shared by all processes.

A busy key borrows tokens in helpings, so that most of its requests cost no round trip: a helping
doubles while the last one was used up within a second, and a key that slows down is back at one.
What is borrowed is out of the bucket, so processes together never exceed it. Without Redis each
process keeps the buckets by itself: open, but not without an end (TRUST: fail open, local cap).
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.clock import monotonic_s
from app.errors import DependencyUnavailable
from app.log import Event, logger

_TIMEOUT_S = 0.25  # a request waits on it
_AWAY_S = 1.0  # after a failure Redis is left alone for so long
_HELPING_LIFE_S = 1.0
_LARGEST_SHARE = 20  # a helping is at most this part of the burst
_MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a key has left. `retry_after_s` None = this request may go on.

    `limit`, `remaining` and `reset_s` (until the bucket is full) are None while Redis is away.
    """

    limit: int | None
    remaining: int | None
    reset_s: int | None
    retry_after_s: int | None

    @property
    def is_allowed(self) -> bool:
        """The request may go on."""
        return self.retry_after_s is None


# (bucket, burst, tokens a minute) -> what is left: RequestLimiter.take_request
TakeRequest = Callable[[str, int, int], Allowance]


@dataclass(slots=True, kw_only=True)
class _Helping:
    """Tokens this process holds of one bucket until `ends_s`."""

    size: int = 1
    left: int = 0
    ends_s: float = 0.0
    remaining: int = 0
    full_at_s: float = 0.0
    opens_at_s: float = 0.0  # a refused key is not asked about again before


@dataclass(slots=True, kw_only=True)
class _Bucket:
    """A bucket this process keeps by itself."""

    tokens: float
    at_s: float


class RequestLimiter:
    """The buckets in one Redis; safe to share between threads.

    `clock_s` is a monotonic clock (tests).
    """

    def __init__(self, url: str, clock_s: Callable[[], float] = monotonic_s) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        source = (resources.files("app.policy") / "lua" / "request.lua").read_text()
        self._script = self._redis.register_script(source)
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._helpings: dict[str, _Helping] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._away_until_s = -math.inf
        self._is_away = False

    def take_request(self, key_id: str, per_minute: int, burst: int) -> Allowance:
        """Take one token of the bucket `key_id`, of `burst` tokens filled with `per_minute`.

        Costs at most one round trip; never raises because of Redis. `key_id` names whatever is
        limited: a key, a login, an address.
        """
        now_s = self._clock_s()
        with self._lock:
            helping = self._helping(key_id)
            if helping.left and now_s < helping.ends_s:
                helping.left -= 1
                return _allowed(per_minute, helping, now_s)
            if now_s < helping.opens_at_s:
                return _refused(per_minute, helping, now_s)
            wanted = _next_size(helping, now_s, burst)
            is_away = now_s < self._away_until_s
        if is_away:
            return self._take_alone(key_id, per_minute, burst, now_s)
        try:
            reply = self._script(keys=[f"requests:{key_id}"], args=["", per_minute, burst, wanted])
        except redis.RedisError as error:
            self._note_away(now_s, error)
            return self._take_alone(key_id, per_minute, burst, now_s)
        self._note_back()
        return self._keep(key_id, per_minute, wanted, [int(number) for number in reply])

    def ping(self) -> None:
        """Return when Redis answers; raises DependencyUnavailable."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise DependencyUnavailable(
                "Redis does not answer.", why=f"{error}.", fix="Check REDIS_URL."
            ) from error

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    def _helping(self, key_id: str) -> _Helping:
        if len(self._helpings) >= _MOST_BUCKETS:
            self._helpings.clear()
        return self._helpings.setdefault(key_id, _Helping())

    def _keep(self, key_id: str, per_minute: int, size: int, reply: list[int]) -> Allowance:
        """Note what was borrowed, and answer for the one request that asked."""
        granted, remaining, full_ms, next_ms = reply
        now_s = self._clock_s()
        with self._lock:
            helping = self._helping(key_id)
            helping.size = size
            # Another thread may have borrowed at the same moment: both helpings count.
            helping.left = max(0, granted - 1) + (helping.left if now_s < helping.ends_s else 0)
            helping.ends_s = now_s + _HELPING_LIFE_S
            helping.remaining, helping.full_at_s = remaining, now_s + full_ms / 1000
            if granted:
                return _allowed(per_minute, helping, now_s)
            helping.opens_at_s = now_s + next_ms / 1000
            return _refused(per_minute, helping, now_s)

    def _take_alone(self, key_id: str, per_minute: int, burst: int, now_s: float) -> Allowance:
        with self._lock:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._buckets.clear()
            bucket = self._buckets.setdefault(key_id, _Bucket(tokens=burst, at_s=now_s))
            filled = bucket.tokens + (now_s - bucket.at_s) * per_minute / 60
            bucket.tokens, bucket.at_s = min(float(burst), filled), now_s
            is_allowed = bucket.tokens >= 1
            bucket.tokens -= is_allowed
            wait_s = (
                None if is_allowed else max(1, math.ceil((1 - bucket.tokens) * 60 / per_minute))
            )
        return Allowance(limit=None, remaining=None, reset_s=None, retry_after_s=wait_s)

    def _note_away(self, now_s: float, error: redis.RedisError) -> None:
        with self._lock:
            self._away_until_s = now_s + _AWAY_S
            was_away, self._is_away = self._is_away, True
        if not was_away:
            logger().warning(Event.DEPENDENCY_LOST, dependency="redis", error=str(error))

    def _note_back(self) -> None:
        if self._is_away:
            with self._lock:
                self._is_away = False
                self._buckets.clear()
            logger().info(Event.DEPENDENCY_RETURNED, dependency="redis")


def _next_size(helping: _Helping, now_s: float, burst: int) -> int:
    """Return how many tokens to borrow: twice as many when the last ones went within their time."""
    if helping.left == 0 and now_s < helping.ends_s:
        return max(1, min(helping.size * 2, burst // _LARGEST_SHARE))
    return 1


def _allowed(per_minute: int, helping: _Helping, now_s: float) -> Allowance:
    return Allowance(
        limit=per_minute,
        remaining=helping.remaining + helping.left,
        reset_s=max(0, math.ceil(helping.full_at_s - now_s)),
        retry_after_s=None,
    )


def _refused(per_minute: int, helping: _Helping, now_s: float) -> Allowance:
    return Allowance(
        limit=per_minute,
        remaining=0,
        reset_s=max(0, math.ceil(helping.full_at_s - now_s)),
        retry_after_s=max(1, math.ceil(helping.opens_at_s - now_s)),
    )
