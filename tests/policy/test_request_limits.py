import contextlib
import threading
import time
import uuid

import pytest

from app.policy.request_limits import RequestLimiter


@pytest.fixture
def key():
    return str(uuid.uuid4())


@pytest.fixture
def requests(redis_url):
    with contextlib.closing(RequestLimiter(redis_url)) as limiter:
        yield limiter


def test_a_burst_is_taken_and_then_refused_with_the_time_to_wait(requests, key):
    taken = [requests.take_request(key, 1, 5) for _ in range(5)]
    assert all(one.is_allowed for one in taken)
    assert taken[0].remaining == 4
    refused = requests.take_request(key, 1, 5)
    assert not refused.is_allowed
    assert (refused.limit, refused.remaining) == (1, 0)
    assert 0 < refused.retry_after_s <= 60
    assert 240 < refused.reset_s <= 300


def test_keys_do_not_share_a_bucket(requests, key):
    requests.take_request(key, 1, 1)
    assert not requests.take_request(key, 1, 1).is_allowed
    assert requests.take_request(str(uuid.uuid4()), 1, 1).is_allowed


def test_processes_together_never_exceed_a_bucket(redis_url, key):
    limiters = [RequestLimiter(redis_url) for _ in range(4)]
    allowed = []
    started = time.monotonic()

    def press(limiter):
        allowed.extend(limiter.take_request(key, 60, 400).is_allowed for _ in range(300))

    threads = [threading.Thread(target=press, args=(limiter,)) for limiter in limiters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for limiter in limiters:
        limiter.close()
    refilled = time.monotonic() - started + 1
    assert 400 - 4 * 20 <= sum(allowed) <= 400 + refilled


def test_a_busy_key_needs_few_round_trips(requests, key):
    trips = []
    script = requests._script
    requests._script = lambda **given: trips.append(1) or script(**given)
    for _ in range(1_000):
        assert requests.take_request(key, 60_000, 6_000).is_allowed
    assert len(trips) < 500


def test_a_refused_key_costs_no_round_trip_until_a_token_is_there(redis_url, key):
    now = [0.0]
    with contextlib.closing(RequestLimiter(redis_url, lambda: now[0])) as limiter:
        limiter.take_request(key, 1, 1)
        refused = limiter.take_request(key, 1, 1)
        limiter._script = None  # no further question can be asked
        now[0] = 30.0
        later = limiter.take_request(key, 1, 1)
    assert not refused.is_allowed
    assert not later.is_allowed
    assert later.retry_after_s < refused.retry_after_s


def test_a_slow_key_borrows_nothing_it_does_not_use(redis_url, key):
    now = [0.0]
    with contextlib.closing(RequestLimiter(redis_url, lambda: now[0])) as limiter:
        for second in range(5):
            now[0] = second * 2.0
            left = limiter.take_request(key, 1, 100).remaining
    assert left == 95


def test_without_redis_requests_go_on_without_headers_up_to_a_local_cap(key):
    now = [0.0]
    gone = RequestLimiter("redis://127.0.0.1:1/0", lambda: now[0])
    taken = [gone.take_request(key, 60, 3) for _ in range(4)]
    assert [one.is_allowed for one in taken] == [True, True, True, False]
    assert taken[0].limit is None
    assert taken[3].retry_after_s == 1
    now[0] = 1.0
    assert gone.take_request(key, 60, 3).is_allowed
