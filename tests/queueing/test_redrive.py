"""Taking dead letters out of RabbitMQ again."""

import datetime as dt

import orjson
import pika
import pytest

from app.errors import MessageMalformed
from app.queueing import dead_letters, messages, redrive, topology
from app.queueing.payloads import TickPayload
from tests.queueing.conftest import wait_until

NOW = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)
QUEUE = "schedule"


@pytest.fixture
def channel(vhost):
    with vhost.channel() as one:
        topology.declare(one)
        one.queue_purge(QUEUE)
        one.queue_purge(f"dlq.{QUEUE}")
        yield one


def bury(channel, body=None):
    """Publish a dead letter as a worker does; return it."""
    if body is None:
        fields = orjson.loads(messages.encode("schedule_tick", QUEUE, TickPayload()).body)
        fields["options"] = {"retries": 4, "traceback": "...", "request_id": "r1"}
        body = orjson.dumps(fields)
    letter = dead_letters.from_bytes(QUEUE, body, MessageMalformed("Bad."), NOW)
    out = letter.outgoing()
    channel.basic_publish(
        out.exchange, out.queue, out.body, pika.BasicProperties(headers=dict(out.headers))
    )
    return letter


def test_peek_shows_dead_letters_and_leaves_them(channel):
    letters = [bury(channel), bury(channel)]
    for _ in range(2):
        assert [found.id for found in redrive.peek(channel, QUEUE, 10)] == [x.id for x in letters]
    found = redrive.peek(channel, QUEUE, 1)[0]
    assert (found.error, found.failed_at, found.request_id) == ("Bad.", NOW, "r1")


def test_retried_message_starts_at_the_first_rung_again(channel, vhost):
    letter = bury(channel)
    assert redrive.retry(channel, QUEUE) == [letter.id]
    _, body = vhost.take(QUEUE)
    assert messages.decode(body).options == {"request_id": "r1"}
    assert vhost.depth(f"dlq.{QUEUE}") == 0


def test_only_the_named_dead_letters_are_retried(channel, vhost):
    letters = [bury(channel) for _ in range(3)]
    assert redrive.retry(channel, QUEUE, [letters[1].id]) == [letters[1].id]
    left = {found.id for found in redrive.peek(channel, QUEUE, 10)}
    assert left == {letters[0].id, letters[2].id}
    assert vhost.depth(QUEUE) == 1


def test_discarded_dead_letter_is_gone(channel, vhost):
    letter = bury(channel)
    assert redrive.discard(channel, QUEUE, [letter.id]) == [letter.id]
    assert vhost.depth(f"dlq.{QUEUE}") == vhost.depth(QUEUE) == 0


def test_bytes_nobody_can_read_are_retried_as_they_are(channel, vhost):
    bury(channel, b"\xff")
    redrive.retry(channel, QUEUE)
    assert vhost.take(QUEUE)[1] == b"\xff"


def test_message_returned_too_often_becomes_a_dead_letter_with_a_steady_id(channel, vhost):
    vhost.put(QUEUE, messages.encode("schedule_tick", QUEUE, TickPayload()).body)
    while True:
        method, _, _ = channel.basic_get(QUEUE)
        if method is None:
            break
        channel.basic_nack(method.delivery_tag, requeue=True)
    [first] = wait_until(lambda: redrive.peek(channel, QUEUE, 1))
    [second] = redrive.peek(channel, QUEUE, 1)
    assert first == second
    assert first.error_class == "DeliveryLimit"
    assert first.actor == "schedule_tick"
    assert first.failed_at > NOW - dt.timedelta(days=3650)


def test_missing_rows_are_repaired_from_rabbitmq(channel, session):
    letter = bury(channel)
    for _ in range(2):
        for found in redrive.peek(channel, QUEUE, 10):
            dead_letters.record(session, found)
    assert [row[0] for row in session.execute("SELECT id FROM dead_letters")] == [letter.id]
