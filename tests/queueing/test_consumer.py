"""The ack guard: what happens when the connection breaks while a message is in work."""

import contextlib
import threading

import pytest
from dramatiq.middleware import Middleware
from pika.exceptions import NackError

from app.queueing import messages
from app.queueing.payloads import TickPayload
from tests.queueing.conftest import wait_until


class Acks(Middleware):
    """Counts the acks Dramatiq believes it gave."""

    def __init__(self):
        self.count = 0

    def after_ack(self, broker, message):
        del broker, message
        self.count += 1


class Work:
    """An actor whose n-th start ends when the test says so."""

    def __init__(self):
        self.starts = 0
        self.gates = [threading.Event() for _ in range(8)]

    def __call__(self, payload):
        del payload
        gate = self.gates[self.starts]
        self.starts += 1
        gate.wait(15)

    def let_all_end(self):
        for gate in self.gates:
            gate.set()


@pytest.fixture
def work(vhost, wired_fleet):
    """Two threads, one message in work over the wire."""
    one = Work()
    wired_fleet.actor(one)
    wired_fleet.start(threads=2)
    wait_until(lambda: wired_fleet.queue in {q["name"] for q in vhost.api(f"queues/{vhost.name}")})
    vhost.put(wired_fleet.queue, messages.encode("work", wired_fleet.queue, TickPayload()).body)
    wait_until(lambda: one.starts == 1)
    yield one
    one.let_all_end()


def test_message_in_work_comes_back_after_the_connection_broke(wire, work):
    wire.cut()
    wait_until(lambda: work.starts == 2)


def test_ack_of_an_old_connection_does_not_remove_the_redelivered_message(wired_fleet, wire, work):
    """Both deliveries have delivery tag 1, each on its own connection."""
    acks = Acks()
    wired_fleet.broker.add_middleware(acks)
    wire.cut()
    wait_until(lambda: work.starts == 2)
    work.gates[0].set()
    wait_until(lambda: acks.count == 1)
    wire.cut()
    wait_until(lambda: work.starts == 3)


def test_message_finished_while_disconnected_keeps_its_thread_free(vhost, wired_fleet, wire, work):
    """Dramatiq would sleep 5 s in the worker thread and ack with a tag of the dead channel."""
    wire.close_door()
    work.let_all_end()
    wire.open_door()
    wait_until(lambda: work.starts == 2, timeout_s=4)
    wired_fleet.stop()
    assert vhost.depth(wired_fleet.queue) == 0


def test_queue_deleted_under_the_workers_is_declared_again(vhost, wired_fleet, work):
    work.let_all_end()
    with vhost.channel() as channel:
        channel.queue_delete(wired_fleet.queue)
    wait_until(lambda: put_again(vhost, wired_fleet.queue))
    wait_until(lambda: work.starts == 2)


def put_again(vhost, queue):
    if queue not in {found["name"] for found in vhost.api(f"queues/{vhost.name}")}:
        return False
    with contextlib.suppress(NackError):  # it is still being deleted
        vhost.put(queue, messages.encode("work", queue, TickPayload()).body)
        return True
    return False
