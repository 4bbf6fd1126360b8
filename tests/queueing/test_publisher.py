"""The batch publisher against a real RabbitMQ, over a wire that can be cut."""

import os
import threading
import time

import pytest

from app.errors import PublishUnconfirmed
from app.queueing.publisher import BatchPublisher, Outgoing


def numbered(count, queue="schedule", size=0):
    return [Outgoing(queue=queue, body=str(n).encode().ljust(size)) for n in range(count)]


@pytest.fixture
def publisher(vhost):
    one = BatchPublisher(vhost.url)
    yield one
    one.close()


@pytest.fixture
def wired(vhost, wire):
    """A publisher whose connection runs over the wire, already open."""
    one = BatchPublisher(vhost.url_at(wire.port))
    one.publish(numbered(1, "maintenance"))
    yield one
    one.close()


@pytest.fixture
def purged(vhost, publisher):
    """The queue schedule, declared and empty."""
    publisher.publish(numbered(1))
    with vhost.channel() as channel:
        channel.queue_purge("schedule")


def test_first_publish_declares_the_topology_of_an_empty_vhost(vhost, publisher):
    publisher.publish(numbered(1, "send.high"))
    assert vhost.depth("send.high") == 1


@pytest.mark.usefixtures("purged")
def test_publish_returns_when_all_are_in_the_queue(vhost, publisher):
    publisher.publish(numbered(5_000))
    assert vhost.depth("schedule") == 5_000


@pytest.mark.usefixtures("purged")
def test_messages_of_one_publish_keep_their_order(vhost, publisher):
    publisher.publish(numbered(50))
    assert [int(vhost.take("schedule")[1]) for _ in range(50)] == list(range(50))


@pytest.mark.usefixtures("purged")
def test_message_is_persistent_and_carries_its_headers(vhost, publisher):
    publisher.publish([Outgoing(queue="schedule", body=b"{}", headers={"x-reason": "why"})])
    with vhost.channel() as channel:
        _, properties, _ = channel.basic_get("schedule", auto_ack=True)
    assert properties.delivery_mode == 2
    assert properties.headers["x-reason"] == "why"


@pytest.mark.usefixtures("purged")
def test_many_threads_share_one_connection(vhost, publisher):
    threads = [
        threading.Thread(target=lambda: [publisher.publish(numbered(1)) for _ in range(20)])
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert vhost.depth("schedule") == 200


@pytest.mark.usefixtures("purged")
def test_unroutable_message_is_an_error_and_later_ones_pass(vhost, publisher):
    with pytest.raises(PublishUnconfirmed, match="NO_ROUTE"):
        publisher.publish(numbered(1, "nowhere"))
    publisher.publish(numbered(1))
    assert vhost.depth("schedule") == 1


def test_publishing_nothing_opens_no_connection():
    BatchPublisher("amqp://127.0.0.1:1/none").publish([])


def test_away_broker_is_refused_quickly_and_not_dialled_again_at_once(wire, vhost):
    wire.close_door()
    publisher = BatchPublisher(vhost.url_at(wire.port))
    with pytest.raises(PublishUnconfirmed):
        publisher.publish(numbered(1))
    with pytest.raises(PublishUnconfirmed, match="next try is in"):
        publisher.publish(numbered(1))


def test_publisher_comes_back_when_the_broker_does(wire, wired):
    wire.close_door()
    with pytest.raises(PublishUnconfirmed):
        wired.publish(numbered(1))
    wire.open_door()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            wired.publish(numbered(1))
        except PublishUnconfirmed:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the publisher did not come back")


def test_idle_connection_that_was_cut_is_replaced_by_the_next_publish(wire, wired):
    wire.cut()
    time.sleep(0.2)  # let the loss arrive
    wired.publish(numbered(1))


def test_cut_connection_fails_all_waiting_publishers_at_once(wire, wired):
    errors = []

    def publish():
        try:
            for _ in range(100):
                wired.publish(numbered(5_000, size=1_000))
        except PublishUnconfirmed as error:
            errors.append(error)

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)  # let them be in the middle
    wire.close_door()
    started = time.monotonic()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 3
    assert time.monotonic() - started < 5


def test_silent_broker_is_given_up_after_the_timeout(wire, wired):
    wire.hold()
    with pytest.raises(PublishUnconfirmed, match=r"no confirm within 0\.3 s"):
        wired.publish(numbered(1), timeout_s=0.3)
    wire.cut()


@pytest.mark.usefixtures("purged")
def test_forked_child_opens_a_connection_of_its_own(vhost, publisher):
    child = os.fork()
    if child == 0:
        try:
            publisher.publish(numbered(1))
            publisher.close()
            os._exit(0)
        finally:
            os._exit(1)  # reached only when something was raised
    assert os.waitpid(child, 0)[1] == 0
    publisher.publish(numbered(1))
    assert vhost.depth("schedule") == 2


@pytest.mark.usefixtures("purged")
def test_closed_publisher_leaves_no_thread(publisher):
    running = [each for each in threading.enumerate() if each.name == "batch-publisher"]
    publisher.close()
    assert len([each for each in running if each.is_alive()]) == len(running) - 1
