import datetime as dt
import threading
import uuid

import pytest
import redis as foreign

from app.errors import DependencyUnavailable
from app.policy.limits import UNLIMITED, AccountQuota, AppLimits, Limit
from app.policy.rate_limits import HELD_MS, RateLimiter
from tests.policy.conftest import NOW, at, ms, request

MINUTE = 60_000
HOUR = 60 * MINUTE


def warm(limiter, wanted, now=NOW):
    limiter.seed(wanted.account_id, {}, now_ms=now)
    return wanted


def test_without_limits_everything_is_granted(limiter):
    grant = limiter.reserve(request({"a.org": 3, "b.org": 2}), now_ms=NOW)
    assert (grant.granted, grant.binding, grant.next_slot_at) == (5, None, None)
    assert grant.by_domain == {"a.org": 3, "b.org": 2}


def test_the_second_mail_of_an_hourly_limit_of_one_goes_an_hour_later(limiter):
    one = warm(limiter, request(hourly=1))
    assert limiter.reserve(one, now_ms=NOW).granted == 1
    refused = limiter.reserve(one, now_ms=NOW + 1000)
    assert (refused.granted, refused.binding) == (0, Limit.ACCOUNT_HOUR)
    slot = ms(refused.next_slot_at)
    assert NOW + HOUR <= slot <= NOW + HOUR + MINUTE
    assert limiter.reserve(one, now_ms=slot - 1).granted == 0
    assert limiter.reserve(one, now_ms=slot).granted == 1


def test_no_rolling_hour_ever_holds_more_than_the_limit(limiter):
    many = warm(limiter, request({"a.org": 7}, hourly=20))
    times = [NOW + step * 137_000 for step in range(80)]
    granted = [(now, limiter.reserve(many, now_ms=now).granted) for now in times]
    for start in times:
        assert sum(n for now, n in granted if start <= now <= start + HOUR) <= 20
    assert sum(n for _, n in granted) >= 60


def test_a_chunk_larger_than_the_limit_is_granted_in_part(limiter):
    chunk = warm(limiter, request({"a.org": 3, "b.org": 4}, hourly=5))
    grant = limiter.reserve(chunk, now_ms=NOW)
    assert grant.by_domain == {"a.org": 3, "b.org": 2}
    assert grant.binding is Limit.ACCOUNT_HOUR


def test_what_is_refused_consumes_nothing(limiter):
    queue = uuid.uuid4()
    full = warm(limiter, request({"a.org": 9}, hourly=4, queue_id=queue, queue_per_minute=5))
    assert limiter.reserve(full, now_ms=NOW).granted == 4
    assert limiter.reserve(full, now_ms=NOW).granted == 0
    other = request({"a.org": 9}, queue_id=queue, queue_per_minute=5)
    assert limiter.reserve(other, now_ms=NOW).granted == 1


def test_a_raised_limit_counts_at_once(limiter):
    chunk = warm(limiter, request({"a.org": 9}, hourly=4))
    limiter.reserve(chunk, now_ms=NOW)
    raised = request({"a.org": 9}, account=chunk.account_id, hourly=6)
    assert limiter.reserve(raised, now_ms=NOW).granted == 2


def test_a_lowered_limit_waits_until_enough_mails_have_left_the_hour(limiter):
    chunk = warm(limiter, request({"a.org": 4}, hourly=10))
    limiter.reserve(chunk, now_ms=NOW)
    limiter.reserve(chunk, now_ms=NOW + 10 * MINUTE)
    lowered = request({"a.org": 1}, account=chunk.account_id, hourly=4)
    slot = ms(limiter.reserve(lowered, now_ms=NOW + 11 * MINUTE).next_slot_at)
    assert slot >= NOW + 10 * MINUTE + HOUR
    assert limiter.reserve(lowered, now_ms=slot).granted == 1


def test_the_daily_limit_opens_at_midnight_utc(limiter):
    daily = warm(limiter, request({"a.org": 3}, daily=2))
    grant = limiter.reserve(daily, now_ms=NOW)
    assert (grant.granted, grant.binding) == (2, Limit.ACCOUNT_DAY)
    assert grant.next_slot_at == at("2026-01-08T00:00")
    assert limiter.reserve(daily, now_ms=ms(at("2026-01-08T00:00"))).granted == 2


def test_gaps_are_counted_from_the_moment_the_server_answered(limiter):
    spaced = warm(limiter, request({"a.org": 3}, gap=5_000))
    first = limiter.reserve(spaced, now_ms=NOW)
    assert (first.granted, first.binding) == (1, Limit.ACCOUNT_GAP)
    assert ms(first.next_slot_at) == NOW + 5_000
    next_slot = limiter.sent(spaced.account_id, 5_000, now_ms=NOW + 3_000)
    assert ms(next_slot) == NOW + 8_000
    assert limiter.reserve(spaced, now_ms=NOW + 7_999).granted == 0
    assert limiter.reserve(spaced, now_ms=NOW + 8_000).granted == 1


def test_a_mail_still_on_its_way_holds_the_gap(limiter):
    spaced = warm(limiter, request(gap=5_000))
    limiter.reserve(spaced, now_ms=NOW)
    assert limiter.reserve(spaced, now_ms=NOW + 60_000).granted == 0
    assert limiter.reserve(spaced, now_ms=NOW + HELD_MS).granted == 1


def test_a_changed_gap_counts_from_the_last_mail(limiter):
    spaced = warm(limiter, request(gap=60_000))
    limiter.reserve(spaced, now_ms=NOW)
    limiter.sent(spaced.account_id, 60_000, now_ms=NOW)
    shorter = request(account=spaced.account_id, gap=1_000)
    assert limiter.reserve(shorter, now_ms=NOW + 1_000).granted == 1


@pytest.mark.parametrize(
    ("gate", "limit"),
    [
        ({"queue_per_minute": 60}, Limit.QUEUE),
        ({"app_limits": AppLimits(per_minute=60)}, Limit.APP),
        ({"global_per_minute": 60}, Limit.GLOBAL),
    ],
)
def test_limits_above_the_account_slide_over_a_minute(limiter, gate, limit):
    chunk = request({"a.org": 100}, **gate)
    grant = limiter.reserve(chunk, now_ms=NOW)
    assert (grant.granted, grant.binding) == (60, limit)
    slot = ms(grant.next_slot_at)
    assert NOW + MINUTE <= slot <= NOW + MINUTE + 2_000
    assert limiter.reserve(chunk, now_ms=slot - 1).granted == 0
    assert limiter.reserve(chunk, now_ms=slot).granted == 60


def test_no_rolling_minute_ever_holds_more_than_the_limit(limiter):
    chunk = request({"a.org": 7}, queue_per_minute=20)
    times = [NOW + step * 2_300 for step in range(80)]
    granted = [(now, limiter.reserve(chunk, now_ms=now).granted) for now in times]
    for start in times:
        assert sum(n for now, n in granted if start <= now < start + MINUTE) <= 20
    assert sum(n for _, n in granted) >= 56


def test_a_slowed_domain_gets_its_minute_in_small_helpings(limiter):
    chunk = request({"slow.org": 60}, domain_limits={"slow.org": 60})
    granted = [limiter.reserve(chunk, now_ms=NOW + s * 1_000).granted for s in range(60)]
    assert max(granted) == 6
    assert sum(granted) == 60
    refused = limiter.reserve(chunk, now_ms=NOW + 1_000)
    assert refused.next_slot_at > dt.datetime.fromtimestamp(NOW / 1000, dt.UTC)


def test_a_limited_domain_does_not_keep_others_back(limiter):
    slow = f"{uuid.uuid4()}.org"
    chunk = request({slow: 10, "fast.org": 10}, domain_limits={slow: 40})
    grant = limiter.reserve(chunk, now_ms=NOW)
    assert grant.by_domain == {slow: 4, "fast.org": 10}
    assert grant.binding is Limit.DOMAIN
    assert grant.next_slot_at > dt.datetime.fromtimestamp(NOW / 1000, dt.UTC)


def test_the_report_key_counts_the_clock_hour(limiter, redis_url):
    chunk = warm(limiter, request({"a.org": 3}, hourly=9))
    limiter.reserve(chunk, now_ms=NOW)
    limiter.reserve(chunk, now_ms=NOW + MINUTE)
    with foreign.Redis.from_url(redis_url) as client:
        key = f"email_rate:{{{chunk.account_id}}}:2026010710"
        assert client.get(key) == b"6"
        assert 0 < client.ttl(key) <= 7_200
    assert limiter.sent_this_hour(chunk.account_id, at("2026-01-07T10:59")) == 6
    assert limiter.sent_this_hour(chunk.account_id, at("2026-01-07T11:00")) == 0


def test_a_wiped_redis_grants_nothing_until_it_is_seeded(limiter):
    wanted = request({"a.org": 5}, hourly=10, daily=12)
    cold = limiter.reserve(wanted, now_ms=NOW)
    assert (cold.granted, cold.is_cold, cold.by_domain) == (0, True, {"a.org": 0})
    counts = {at("2026-01-07T09:30"): 4, at("2026-01-07T08:00"): 5, at("2026-01-06T23:00"): 9}
    assert limiter.seed(wanted.account_id, counts, now_ms=NOW)
    grant = limiter.reserve(wanted, now_ms=NOW)
    assert (grant.granted, grant.binding) == (3, Limit.ACCOUNT_DAY)


def test_a_seed_keeps_the_hour_and_the_gap(limiter):
    wanted = request({"a.org": 5}, hourly=10, gap=120_000)
    limiter.seed(wanted.account_id, {at("2026-01-07T09:59"): 10}, now_ms=NOW)
    refused = limiter.reserve(wanted, now_ms=NOW)
    assert refused.next_slot_at == at("2026-01-07T11:00")
    gap_only = request(account=wanted.account_id, gap=120_000)
    assert limiter.reserve(gap_only, now_ms=NOW).next_slot_at == at("2026-01-07T10:02")


def test_a_second_seed_changes_nothing(limiter):
    wanted = warm(limiter, request(hourly=1))
    limiter.reserve(wanted, now_ms=NOW)
    assert not limiter.seed(wanted.account_id, {}, now_ms=NOW)
    assert limiter.reserve(wanted, now_ms=NOW).granted == 0


def test_an_account_that_was_unlimited_is_cold_when_limits_come(limiter):
    account = uuid.uuid4()
    warm(limiter, request(account=account, hourly=5))
    limiter.reserve(request({"a.org": 50}, account=account), now_ms=NOW)
    assert limiter.reserve(request(account=account, hourly=5), now_ms=NOW).is_cold


def test_mails_given_back_may_go_at_once(limiter):
    slow = f"{uuid.uuid4()}.org"
    chunk = warm(
        limiter,
        request({slow: 4}, hourly=4, daily=4, queue_per_minute=4, domain_limits={slow: 40}),
    )
    grant = limiter.reserve(chunk, now_ms=NOW)
    limiter.give_back(chunk, grant, {slow: 3}, now_ms=NOW + 2_000)
    assert limiter.reserve(chunk, now_ms=NOW + 2_000).granted == 3
    assert limiter.sent_this_hour(chunk.account_id, at("2026-01-07T10:30")) == 4


def test_a_mail_given_back_frees_the_gap(limiter):
    spaced = warm(limiter, request(gap=1_000))
    grant = limiter.reserve(spaced, now_ms=NOW)
    limiter.give_back(spaced, grant, {"example.org": 1}, now_ms=NOW + 500)
    assert limiter.reserve(spaced, now_ms=NOW + 1_000).granted == 1


def quota(wanted):
    return AccountQuota(account_id=wanted.account_id, limits=wanted.limits)


def test_peek_tells_what_each_account_may_send(limiter):
    free = request()
    hourly = warm(limiter, request({"a.org": 3}, hourly=5))
    spaced = warm(limiter, request(gap=1_000))
    cold = request(daily=7)
    limiter.reserve(hourly, now_ms=NOW)
    limiter.reserve(spaced, now_ms=NOW)
    limiter.sent(spaced.account_id, 1_000, now_ms=NOW)
    quotas = [quota(wanted) for wanted in (free, hourly, spaced, cold)]
    seen = limiter.peek(quotas, 5_000, now_ms=NOW)
    assert [seen[q.account_id].count for q in quotas] == [UNLIMITED, 2, 4, 7]
    assert [seen[q.account_id].is_cold for q in quotas] == [False, False, False, True]
    assert ms(seen[spaced.account_id].next_slot_at) == NOW + 1_000


def test_peek_counts_the_mails_that_leave_the_hour_within_the_horizon(limiter):
    hourly = warm(limiter, request({"a.org": 5}, hourly=5))
    limiter.reserve(hourly, now_ms=NOW)
    later = NOW + HOUR + 25_000
    seen = limiter.peek([quota(hourly)], 10_000, now_ms=later)[hourly.account_id]
    assert (seen.count, ms(seen.next_slot_at)) == (5, NOW + HOUR + 30_000)
    assert limiter.peek([quota(hourly)], 1_000, now_ms=later)[hourly.account_id].count == 0


def test_peek_consumes_nothing(limiter):
    hourly = warm(limiter, request({"a.org": 5}, hourly=5))
    limiter.peek([quota(hourly)], 1_000, now_ms=NOW)
    assert limiter.reserve(hourly, now_ms=NOW).granted == 5


def test_many_threads_together_never_exceed_a_limit(limiter):
    hourly = request({"a.org": 3}, hourly=100)
    limiter.seed(hourly.account_id, {})
    granted = []

    def take():
        granted.extend(limiter.reserve(hourly).granted for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 100


def test_old_minutes_do_not_pile_up(limiter, redis_url):
    hourly = warm(limiter, request(hourly=1_000))
    for step in range(150):
        limiter.reserve(hourly, now_ms=NOW + step * MINUTE)
    with foreign.Redis.from_url(redis_url) as client:
        assert client.hlen(f"rate:{{{hourly.account_id}}}") <= 61 + 5


def test_redis_away_is_said_so():
    gone = RateLimiter("redis://127.0.0.1:1/0")
    with pytest.raises(DependencyUnavailable, match="Redis cannot be used"):
        gone.reserve(request(hourly=1))
