"""A Redis that lost its counts, or came back with old ones, grants nothing it cannot vouch for."""

import uuid

import pytest

from app.policy.limits import AppLimits, Limit, Usage
from tests.policy.conftest import NOW, at, begin_epoch, ms, request

MINUTE = 60_000
DAY = 24 * 60 * MINUTE


def usage(today, this_month, day=20_460, month=672):
    return Usage(day=day, today=today, month=month, this_month=this_month)


def test_after_a_wipe_counts_are_cold_until_old_grants_are_void(limiter, redis_client):
    wanted = request(hourly=5)
    limiter.seed(wanted.account_id, {}, now_ms=NOW)
    redis_client.flushdb()
    cold = limiter.reserve(wanted, now_ms=NOW)
    assert (cold.is_cold, cold.is_settled) == (True, False)
    assert ms(cold.next_slot_at) == NOW + 3_000
    assert limiter.reserve(wanted, now_ms=NOW + 3_000).is_settled


def test_a_new_account_of_a_healthy_redis_is_settled_at_once(limiter):
    cold = limiter.reserve(request(hourly=5), now_ms=NOW)
    assert (cold.is_cold, cold.is_settled) == (True, True)


def test_counts_of_an_older_epoch_are_cold_and_replaced(limiter, redis_client):
    wanted = request({"a.org": 9}, hourly=5)
    limiter.seed(wanted.account_id, {at("2026-01-07T09:59"): 1}, now_ms=NOW)
    begin_epoch(redis_client, NOW - 5_000, "second")
    cold = limiter.reserve(wanted, now_ms=NOW)
    assert cold.is_cold
    limiter.seed(wanted.account_id, {at("2026-01-07T09:59"): 3}, epoch=cold.epoch, now_ms=NOW)
    assert limiter.reserve(wanted, now_ms=NOW).granted == 2


def test_counts_read_for_an_epoch_that_is_over_are_not_taken(limiter, redis_client):
    wanted = request(hourly=5)
    cold = limiter.reserve(wanted, now_ms=NOW)
    begin_epoch(redis_client, NOW, "second")
    assert not limiter.seed(wanted.account_id, {}, epoch=cold.epoch, now_ms=NOW)
    assert limiter.reserve(wanted, now_ms=NOW).is_cold


def test_mails_of_an_older_epoch_are_not_given_back(limiter, redis_client):
    wanted = request({"a.org": 5}, hourly=5)
    limiter.seed(wanted.account_id, {}, now_ms=NOW)
    grant = limiter.reserve(wanted, now_ms=NOW)
    begin_epoch(redis_client, NOW - 5_000, "second")
    limiter.seed(wanted.account_id, {at("2026-01-07T10:00"): 5}, now_ms=NOW)
    limiter.give_back(wanted, grant, {"a.org": 5}, now_ms=NOW)
    assert limiter.reserve(wanted, now_ms=NOW).granted == 0


@pytest.mark.parametrize("gate", ["queue_per_minute", "global_per_minute"])
def test_minutes_open_gradually_after_a_wipe(limiter, redis_client, gate):
    begin_epoch(redis_client, NOW, "second")
    chunk = request({"a.org": 100}, **{gate: 60})
    granted = {0: limiter.reserve(chunk, now_ms=NOW).granted}
    slot = ms(limiter.reserve(chunk, now_ms=NOW).next_slot_at)
    for seconds in range(1, 121):
        granted[seconds] = limiter.reserve(chunk, now_ms=NOW + seconds * 1_000).granted
    assert NOW + 1_000 <= slot <= NOW + 2_000
    assert sum(n for s, n in granted.items() if s <= 30) in range(25, 31)
    assert sum(n for s, n in granted.items() if s <= 60) <= 60
    assert sum(granted.values()) >= 80


def test_an_epoch_of_the_future_begins_now(limiter, redis_client):
    begin_epoch(redis_client, NOW + DAY, "ahead")
    chunk = request({"a.org": 100}, queue_per_minute=60)
    limiter.reserve(chunk, now_ms=NOW)
    assert limiter.reserve(chunk, now_ms=NOW + MINUTE).granted == 60


def test_a_daily_quota_of_an_app_holds_over_all_its_accounts(limiter):
    app_id = uuid.uuid4()
    limits = AppLimits(daily_quota=10)
    limiter.seed_app(app_id, usage(today=4, this_month=4), now_ms=NOW)
    first = request({"a.org": 4}, app_id=app_id, app_limits=limits)
    second = request({"a.org": 4}, app_id=app_id, app_limits=limits)
    assert limiter.reserve(first, now_ms=NOW).granted == 4
    grant = limiter.reserve(second, now_ms=NOW)
    assert (grant.granted, grant.binding) == (2, Limit.APP_DAY)
    assert grant.next_slot_at == at("2026-01-08T00:00")
    assert limiter.reserve(second, now_ms=ms(at("2026-01-08T00:00"))).granted == 4


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-01-07T10:00", "2026-02-01T00:00"),
        ("2026-01-31T23:59", "2026-02-01T00:00"),
        ("2026-12-31T12:00", "2027-01-01T00:00"),
        ("2028-02-28T12:00", "2028-03-01T00:00"),
        ("2028-02-29T12:00", "2028-03-01T00:00"),
        ("2027-02-28T12:00", "2027-03-01T00:00"),
        ("2026-04-30T12:00", "2026-05-01T00:00"),
    ],
)
def test_a_monthly_quota_opens_with_the_next_month(limiter, now, opens):
    now_ms, limits = ms(at(now)), AppLimits(monthly_quota=3)
    wanted = request({"a.org": 5}, app_limits=limits)
    months = (at(now).year - 1970) * 12 + at(now).month - 1
    counted = usage(0, 1, day=now_ms // DAY, month=months)
    limiter.seed_app(wanted.app_id, counted, now_ms=now_ms)
    grant = limiter.reserve(wanted, now_ms=now_ms)
    assert (grant.granted, grant.binding) == (2, Limit.APP_MONTH)
    assert grant.next_slot_at == at(opens)
    assert limiter.reserve(wanted, now_ms=ms(at(opens))).granted == 3


def test_a_quota_without_counts_grants_nothing_until_it_is_seeded(limiter):
    wanted = request(app_limits=AppLimits(daily_quota=10), hourly=3)
    limiter.seed(wanted.account_id, {}, now_ms=NOW)
    cold = limiter.reserve(wanted, now_ms=NOW)
    assert (cold.granted, cold.binding, cold.is_cold) == (0, Limit.APP_COLD, True)
    limiter.seed_app(wanted.app_id, usage(0, 0), now_ms=NOW)
    assert limiter.reserve(wanted, now_ms=NOW).granted == 1


def test_mails_given_back_return_to_the_quota(limiter):
    wanted = request({"a.org": 3}, app_limits=AppLimits(daily_quota=3, monthly_quota=3))
    limiter.seed_app(wanted.app_id, usage(0, 0), now_ms=NOW)
    grant = limiter.reserve(wanted, now_ms=NOW)
    limiter.give_back(wanted, grant, {"a.org": 2}, now_ms=NOW)
    assert limiter.reserve(wanted, now_ms=NOW).granted == 2


def test_what_the_account_refuses_consumes_no_quota(limiter):
    limits, app_id = AppLimits(daily_quota=3, per_minute=3), uuid.uuid4()
    limiter.seed_app(app_id, usage(0, 0), now_ms=NOW)
    full = request({"a.org": 3}, app_id=app_id, app_limits=limits, hourly=1)
    limiter.seed(full.account_id, {}, now_ms=NOW)
    assert limiter.reserve(full, now_ms=NOW).granted == 1
    assert limiter.reserve(full, now_ms=NOW).granted == 0
    other = request({"a.org": 3}, app_id=app_id, app_limits=limits)
    assert limiter.reserve(other, now_ms=NOW).granted == 2


def test_openings_tell_what_quotas_and_gates_allow(limiter):
    limits = AppLimits(daily_quota=9, per_minute=60)
    chunk = request({"a.org": 5}, app_limits=limits)
    limiter.seed_app(chunk.app_id, usage(today=2, this_month=2), now_ms=NOW)
    limiter.reserve(chunk, now_ms=NOW)
    (gate,) = chunk.gates()
    apps, gates = limiter.openings({chunk.app_id: limits}, [gate], 1_000, now_ms=NOW)
    assert (apps[chunk.app_id].count, gates[gate].count) == (2, 55)
    assert limiter.openings({chunk.app_id: limits}, [gate], 1_000, now_ms=NOW) == (apps, gates)
