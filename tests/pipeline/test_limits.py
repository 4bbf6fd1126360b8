"""Limits hold while campaigns run, while they change, and while Redis is wiped, old or away."""

import contextlib
import datetime as dt
import os
import uuid
from collections import Counter
from decimal import Decimal

import pytest
import redis as redis_client

from app.clock import utc_now
from app.policy import pacing
from app.policy.limits import AccountLimits, Reservation
from app.policy.rate_limits import RateLimiter
from app.queueing.publisher import BatchPublisher
from tests.factories import make_email, make_queue
from tests.redis_server import OwnRedis


@pytest.fixture
def own_redis(tmp_path):
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_url(own_redis):
    return own_redis.url


@pytest.fixture
def statuses(session):
    def read():
        rows = session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall()
        return dict(rows)

    return read


@pytest.fixture
def passes(run_pass, statuses, until):
    """Runs passes until a condition holds for the counts by state."""

    def run(condition, within_s=30.0):
        until(lambda: (run_pass(), condition(Counter(statuses())))[1], within_s)

    return run


def settled(counts):
    """Nothing is on its way."""
    return not counts["queued"] and not counts["sending"]


def sent(number):
    return lambda counts: settled(counts) and counts["sent"] == number


def start_epoch(url):
    """Let this Redis have been up for an hour."""
    ids = dict.fromkeys(("app_id", "queue_id", "account_id"), uuid.uuid4())
    limiter = RateLimiter(url)
    limiter.reserve(Reservation(**ids, limits=AccountLimits(), domains={"example.org": 1}))
    limiter.close()
    with contextlib.closing(redis_client.Redis.from_url(url)) as client:
        client.set("rate:epoch", f"hour {round(utc_now().timestamp() * 1000) - 3_600_000}")


def make_emails(session, sender, count, **fields):
    return [make_email(session, sender.app_id, **(sender.fields | fields)) for _ in range(count)]


def test_a_limit_changed_three_times_while_a_campaign_runs_is_never_exceeded(
    session, make_sender, passes, fleet, inbox, run_pass
) -> None:
    sender = make_sender(hourly_limit=40)
    make_emails(session, sender, 200)
    fleet.start()
    passes(sent(40))
    for limit in (60, 20, 90):
        session.execute("UPDATE email_accounts SET hourly_limit = %s", (limit,))
        session.execute("UPDATE emails SET due_at = now() WHERE due_at IS NOT NULL")
        already = len(inbox.messages())
        passes(sent(max(already, limit)))
        for _ in range(3):
            run_pass()
    assert len(inbox.messages()) == 90
    assert set(Counter(mail.message_id for mail in inbox.messages()).values()) == {1}
    assert session.execute("SELECT max(attempt) FROM emails").fetchall() == [(1,)]


def test_a_redis_flushed_in_mid_campaign_does_not_open_the_hour_again(
    session, make_sender, passes, fleet, inbox, own_redis
) -> None:
    sender = make_sender(hourly_limit=400)
    make_emails(session, sender, 900)
    fleet.start()
    passes(lambda counts: counts["sent"] > 0)
    for _ in range(3):
        before = len(inbox.messages())
        own_redis.wipe()
        passes(lambda _, before=before: len(inbox.messages()) > min(before, 399), 30)
    passes(sent(400), 40)
    assert len(inbox.messages()) == 400


def test_a_redis_restarted_with_old_counts_does_not_open_the_hour_again(
    session, make_sender, passes, fleet, inbox, own_redis
) -> None:
    sender = make_sender(hourly_limit=50)
    make_emails(session, sender, 20)
    fleet.start()
    passes(sent(20))
    (account_id,) = session.execute("SELECT id FROM email_accounts").fetchone()
    with contextlib.closing(redis_client.Redis.from_url(own_redis.url)) as client:
        # What an append-only file or a snapshot of earlier brings back.
        key = f"rate:{{{account_id}}}"
        minutes = [name for name in client.hkeys(key) if name.isdigit()]
        client.hset(key, mapping=dict.fromkeys(minutes, 1))
    own_redis.kill()
    own_redis.start()
    make_emails(session, sender, 100)
    passes(sent(50))
    assert len(inbox.messages()) == 50


def test_while_redis_is_away_mails_wait_and_then_go(
    session, make_sender, run_pass, passes, fleet, inbox, own_redis, statuses
) -> None:
    sender = make_sender(hourly_limit=100)
    own_redis.kill()
    fleet.start()
    make_emails(session, sender, 30)
    for _ in range(3):
        assert run_pass().released == 0
    assert statuses() == {"scheduled": 30}
    own_redis.start()
    passes(sent(30))
    assert len(inbox.messages()) == 30


def test_a_chunk_caught_by_a_redis_that_goes_away_loses_nothing(
    session, make_sender, run_pass, fleet, inbox, own_redis, statuses, until
) -> None:
    from actors import housekeep  # noqa: PLC0415 - the broker reads the test's settings

    sender = make_sender(hourly_limit=100)
    make_emails(session, sender, 30)
    run_pass()
    own_redis.kill()
    fleet.start()
    until(lambda: "message.retried" in fleet.log)
    assert (statuses(), inbox.messages()) == ({"queued": 30}, [])
    own_redis.start()
    session.execute("UPDATE released_chunks SET touched_at = now() - interval '1 hour'")
    housekeep.sweep_chunks(session, dt.timedelta(minutes=5))
    until(lambda: statuses() == {"sent": 30})
    assert len(inbox.messages()) == 30


def test_a_wait_longer_than_any_lease_holds_no_lease_and_sends_nothing_twice(
    session, make_sender, run_pass, passes, fleet, inbox, statuses, until
) -> None:
    sender = make_sender(hourly_limit=2)
    make_emails(session, sender, 2)
    run_pass()
    session.execute("UPDATE email_accounts SET hourly_limit = 1")
    fleet.start()
    until(lambda: statuses() == {"sent": 1, "scheduled": 1})
    ((attempt, lease, holder, due_at, reason),) = session.execute(
        "SELECT attempt, lease_until, claimed_by, due_at, reason FROM emails "
        "WHERE status = 'scheduled'"
    ).fetchall()
    assert (attempt, lease, holder, reason) == (0, None, None, "limit account_hour")
    assert due_at - utc_now() > dt.timedelta(minutes=59)
    _deliver_again(session, until)
    passes(sent(1))
    session.execute("UPDATE email_accounts SET hourly_limit = 2")
    session.execute("UPDATE emails SET due_at = now() WHERE due_at IS NOT NULL")
    passes(sent(2))
    _deliver_again(session, until)
    passes(sent(2))
    assert len(inbox.messages()) == 2


def test_limits_of_app_and_queue_are_kept_before_release(
    session, make_sender, run_pass, passes, fleet, own_redis
) -> None:
    sender = make_sender()
    start_epoch(own_redis.url)
    session.execute("UPDATE apps SET per_minute = 50")
    slow = make_queue(session, sender.app_id, per_minute=20)
    make_emails(session, sender, 40, queue_id=slow.id)
    make_emails(session, sender, 100)
    fleet.start()
    released = run_pass()
    assert released.released == 50
    passes(sent(50))
    assert session.execute(
        "SELECT queue_id = %s, count(*) FROM emails WHERE status = 'sent' GROUP BY 1 ORDER BY 1",
        (slow.id,),
    ).fetchall() == [(False, 30), (True, 20)]
    kept = session.execute(
        "SELECT count(*), max(due_at) < now() + interval '125 seconds' FROM emails "
        "WHERE status = 'scheduled' AND reason = 'limit queue'"
    ).fetchall()
    assert kept == [(20, True)]


def test_a_quota_of_the_app_holds_over_its_accounts_and_a_wipe(
    session, make_sender, passes, fleet, inbox, own_redis
) -> None:
    sender = make_sender()
    session.execute("UPDATE apps SET daily_quota = 25, monthly_quota = 30")
    make_emails(session, sender, 60)
    fleet.start()
    passes(sent(25))
    own_redis.wipe()
    session.execute("UPDATE apps SET daily_quota = 28")
    session.execute("UPDATE emails SET due_at = now() WHERE due_at IS NOT NULL")
    passes(sent(28))
    session.execute("UPDATE apps SET daily_quota = NULL")
    session.execute("UPDATE emails SET due_at = now() WHERE due_at IS NOT NULL")
    passes(sent(30))
    assert len(inbox.messages()) == 30


def test_a_warm_up_holds_the_day_back(session, make_sender, passes, run_pass, fleet, inbox) -> None:
    sender = make_sender(
        daily_limit=1_000,
        warmup_started_on=utc_now().date() - dt.timedelta(days=2),
        warmup_daily_start=5,
        warmup_growth=Decimal(2),
    )
    make_emails(session, sender, 60)
    fleet.start()
    passes(sent(20))
    for _ in range(3):
        run_pass()
    assert len(inbox.messages()) == 20


def test_a_domain_that_complains_is_slowed_and_its_neighbours_are_not(
    session, make_sender, run_pass, fleet, inbox, own_redis, until
) -> None:
    sender = make_sender()
    start_epoch(own_redis.url)
    make_email(session, sender.app_id, to_email="defer+451@slow.org", **sender.fields)
    fleet.start()
    run_pass()
    until(lambda: pacing.paces(session, sender.app_id, utc_now()))
    (row,) = pacing.list_all(session, sender.app_id)
    assert (row.domain, row.per_minute) == ("slow.org", 60)
    for number in range(40):
        make_email(session, sender.app_id, to_email=f"r{number}@slow.org", **sender.fields)
        make_email(session, sender.app_id, to_email=f"r{number}@fast.org", **sender.fields)
    until(lambda: (run_pass(), _arrived(inbox)["fast.org"] == 40)[1])
    assert _arrived(inbox)["slow.org"] <= 20
    until(lambda: (run_pass(), _arrived(inbox)["slow.org"] > 2)[1])


def _arrived(inbox):
    return Counter(mail.rcpt_to[0].rpartition("@")[2] for mail in inbox.messages())


def _deliver_again(session, until):
    """Publish the messages of every chunk a second time, and wait until they were worked on.

    Nothing of them waits any more: each counts all its mails as finished once again.
    """
    from actors.schedule import assemble_message  # noqa: PLC0415 - reads the test's settings
    from app.lifecycle.chunks import Chunk  # noqa: PLC0415

    query = "SELECT id, app_id, account_id, lane, payload, remaining FROM released_chunks"
    names = ("id", "app_id", "account_id", "lane", "payload", "size")
    found = [
        Chunk(**dict(zip(names, row, strict=True))) for row in session.execute(query).fetchall()
    ]
    with contextlib.closing(BatchPublisher(os.environ["RABBITMQ_URL"])) as publisher:
        publisher.publish([assemble_message(chunk) for chunk in found])
    before = {chunk.id: chunk.size for chunk in found}
    query = "SELECT id, remaining FROM released_chunks"
    until(lambda: all(left < before[i] for i, left in session.execute(query).fetchall()), 60)
