import contextlib
import datetime as dt
import uuid

import pytest
import redis

from app.policy.limits import AccountLimits, Reservation
from app.policy.rate_limits import RateLimiter

# 2026-01-07 10:00:30 UTC
NOW = int(dt.datetime(2026, 1, 7, 10, 0, 30, tzinfo=dt.UTC).timestamp() * 1000)


@pytest.fixture
def redis_client(redis_url):
    with contextlib.closing(redis.Redis.from_url(redis_url, decode_responses=True)) as client:
        yield client


@pytest.fixture
def limiter(redis_url, redis_client):
    """A limiter whose Redis has been up for a day at NOW."""
    limiter = RateLimiter(redis_url)
    limiter.reserve(request(), now_ms=NOW)  # loads the script, which begins an epoch
    redis_client.flushdb()
    begin_epoch(redis_client, NOW - 86_400_000)
    yield limiter
    limiter.close()


def begin_epoch(client, since_ms, name="first"):
    client.set("rate:epoch", f"{name} {since_ms}")


def request(domains=None, account=None, hourly=None, daily=None, gap=0, **gates):
    return Reservation(
        app_id=gates.pop("app_id", None) or uuid.uuid4(),
        queue_id=gates.pop("queue_id", None) or uuid.uuid4(),
        account_id=account or uuid.uuid4(),
        limits=AccountLimits(hourly_limit=hourly, daily_limit=daily, min_gap_ms=gap),
        domains=domains or {"example.org": 1},
        **gates,
    )


def ms(moment):
    return round(moment.timestamp() * 1000)


def at(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
