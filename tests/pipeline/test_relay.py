"""What was just submitted leaves at once, by the limits, and without harm when the call is lost."""

import contextlib
from collections.abc import Iterator

import pytest

from app.config import Settings
from app.queueing.depth import DepthGauge
from tests.factories import make_email, make_queue


@pytest.fixture
def relay(configured: Settings, run_pass) -> Iterator[object]:
    del run_pass  # clears what the process holds before and after the test
    from actors.relay import Relay  # noqa: PLC0415 - the broker reads the test's settings

    made = Relay(configured)
    yield made
    made.close()


@pytest.fixture
def statuses(session):
    def read():
        return dict(session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall())

    return read


def test_a_woken_accounts_mail_reaches_the_server_without_a_tick(
    session, make_sender, relay, fleet, inbox, until, statuses
) -> None:
    sender = make_sender()
    fleet.start()
    make_email(session, sender.app_id, to_email="ana@example.com", **sender.fields)
    relay.wake(sender.fields["account_id"])
    until(lambda: statuses() == {"sent": 1}, within_s=90)
    assert [mail.rcpt_to for mail in inbox.messages()] == [("ana@example.com",)]


def test_other_accounts_and_other_times_are_left_to_the_clock(
    session, make_sender, relay, until, statuses
) -> None:
    named, other = make_sender(), make_sender()
    make_email(session, named.app_id, **named.fields)
    make_email(session, named.app_id, due_at="2100-01-01T00:00:00Z", **named.fields)
    make_email(session, other.app_id, **other.fields)
    relay.wake(named.fields["account_id"])
    until(lambda: statuses().get("queued") == 1, within_s=60)
    relay.close()
    assert statuses() == {"queued": 1, "scheduled": 2}


def test_the_limits_hold_for_what_is_released_at_once(
    session, make_sender, relay, until, statuses
) -> None:
    sender = make_sender(hourly_limit=1)
    for _ in range(3):
        make_email(session, sender.app_id, **sender.fields)
    relay.wake(sender.fields["account_id"])
    until(lambda: statuses().get("queued") == 1, within_s=60)
    relay.wake(sender.fields["account_id"])
    relay.close()
    assert statuses() == {"queued": 1, "scheduled": 2}


def test_a_paused_account_releases_nothing(session, make_sender, relay, statuses) -> None:
    sender = make_sender()
    session.execute("UPDATE email_accounts SET status = 'paused'")
    make_email(session, sender.app_id, **sender.fields)
    relay.wake(sender.fields["account_id"])
    relay.close()
    assert statuses() == {"scheduled": 1}


def test_many_calls_become_few_rounds_and_lose_nothing(
    session, make_sender, relay, until, statuses
) -> None:
    sender = make_sender()
    queue = make_queue(session, sender.app_id, priority=9)
    for number in range(40):
        fields = sender.fields | ({"queue_id": queue.id} if number % 2 else {})
        make_email(session, sender.app_id, priority=1 + number % 10, **fields)
        relay.wake(sender.fields["account_id"])
    until(lambda: statuses() == {"queued": 40}, within_s=60)


def test_a_pass_is_asked_of_the_schedule_stage(configured, relay, until) -> None:
    relay.wake(None)
    with contextlib.closing(DepthGauge(configured.rabbitmq_url)) as depths:
        until(lambda: depths.ready("schedule") == 1, within_s=60)


def test_without_rabbitmq_the_mail_stays_for_the_sweeper(
    session, make_sender, relay, until, statuses, monkeypatch
) -> None:
    from actors import runtime  # noqa: PLC0415 - the broker reads the test's settings
    from app.queueing.publisher import BatchPublisher  # noqa: PLC0415 - beside its use

    nowhere = BatchPublisher("amqp://nobody:x@127.0.0.1:1/none")
    monkeypatch.setattr(runtime, "publisher", lambda: nowhere)
    sender = make_sender()
    make_email(session, sender.app_id, **sender.fields)
    relay.wake(sender.fields["account_id"])
    until(lambda: statuses() == {"queued": 1}, within_s=60)
    stale = "SELECT count(*) FROM released_chunks WHERE touched_at = '-infinity'"
    until(lambda: session.execute(stale).fetchone() == (1,), within_s=60)
