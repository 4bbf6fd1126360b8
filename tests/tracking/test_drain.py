import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pika
import pytest

from app.errors import PublishUnconfirmed
from app.queueing.messages import Outgoing, decode
from app.queueing.payloads import HitsPayload, parse
from app.queueing.publisher import BatchPublisher
from tracking.drain import HitStore
from tracking.hits import Kind, Visit, line

# Python warns of forks beside threads; that such a fork works is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

SEEN = Visit(method="GET", ip="", user_agent="Firefox", purpose="", at_ms=1_700_000_000_000)


def hit() -> bytes:
    return line(Kind.OPEN, uuid.uuid4(), SEEN)


def event_id(written: bytes) -> uuid.UUID:
    return uuid.UUID(orjson.loads(written)["event_id"])


def eventually(claim: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


class Broker:
    """A foreign edge: takes messages like RabbitMQ behind a publisher, and can be away."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []
        self.is_away = threading.Event()
        self.is_silent = False
        self.patience_s: float | None = None
        self.tries = 0
        self._closed = threading.Event()

    def publish(self, items: Sequence[Outgoing]) -> None:
        self.tries += 1
        if self.is_silent and items:
            self._closed.wait()
            raise PublishUnconfirmed("The publisher was closed.")
        if self.is_away.is_set() and items:
            raise PublishUnconfirmed("RabbitMQ is away.")
        self.messages += items

    def close(self, timeout_s: float) -> None:
        self.patience_s = timeout_s
        self._closed.set()

    def chunks(self) -> list[HitsPayload]:
        bodies = [decode(message.body).kwargs["payload"] for message in self.messages]
        return [parse(HitsPayload, body) for body in bodies]

    def event_ids(self) -> list[uuid.UUID]:
        return [each.event_id for chunk in self.chunks() for each in chunk.hits]


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def store(tmp_path, broker):
    opened = HitStore(tmp_path, lambda: broker)
    yield opened
    opened.close()


def test_silent_rabbitmq_delays_the_end_by_seconds_and_takes_no_hit(tmp_path):
    silent, broker = Broker(), Broker()
    silent.is_silent = True
    store = HitStore(tmp_path, lambda: silent)
    written = hit()
    store.keep(written)
    eventually(lambda: silent.tries > 0)
    store.close()
    assert silent.patience_s is not None
    assert silent.patience_s <= 1.0
    heir = HitStore(tmp_path, lambda: broker)
    heir.waiting_bytes()
    eventually(lambda: broker.event_ids() == [event_id(written)])
    heir.close()


def test_hits_arrive_for_the_recording_actor(store, broker):
    written = [hit() for _ in range(3)]
    assert [store.keep(each) for each in written] == [True] * 3
    eventually(lambda: len(broker.event_ids()) == 3)
    assert broker.event_ids() == [event_id(each) for each in written]
    message = decode(broker.messages[0].body)
    assert (message.queue_name, message.actor_name) == ("events", "record_hits")


def test_a_message_carries_at_most_five_hundred_hits(store, broker):
    broker.is_away.set()
    written = [hit() for _ in range(1_203)]
    for each in written:
        store.keep(each)
    broker.is_away.clear()
    eventually(lambda: len(broker.event_ids()) >= 1_203)
    assert max(len(chunk.hits) for chunk in broker.chunks()) == 500
    assert len(broker.messages) <= 5
    assert set(broker.event_ids()) == {event_id(each) for each in written}


def test_while_rabbitmq_is_away_the_spool_grows_and_is_drained_after(store, broker, tmp_path):
    broker.is_away.set()
    written = [hit() for _ in range(100)]
    for each in written:
        assert store.keep(each)
    eventually(lambda: broker.tries >= 3)
    assert store.waiting_bytes() == sum(map(len, written))
    broker.is_away.clear()
    eventually(lambda: store.waiting_bytes() == 0)
    assert sorted(broker.event_ids()) == sorted(event_id(each) for each in written)
    eventually(lambda: not list(tmp_path.glob("*.hits")))


def test_closing_publishes_what_waits(store, broker):
    written = hit()
    store.keep(written)
    store.close()
    assert broker.event_ids() == [event_id(written)]


def test_closing_while_rabbitmq_is_away_leaves_the_hits_to_the_next_process(tmp_path, broker):
    broker.is_away.set()
    first, written = HitStore(tmp_path, lambda: broker), hit()
    first.keep(written)
    eventually(lambda: broker.tries > 0)
    first.close()
    broker.is_away.clear()
    following = HitStore(tmp_path, lambda: broker)
    assert following.waiting_bytes() is not None
    eventually(lambda: broker.event_ids() == [event_id(written)])
    following.close()


def test_a_spoiled_line_is_left_out_and_the_others_arrive(tmp_path, broker):
    written = [hit(), hit()]
    spoiled = b'{"event_id": "torn\n' + b"\x00\xff\n" + b'{"kind": "open"}\n'
    (tmp_path / "1-dead.lock").touch()
    (tmp_path / "1-dead.0000000001.hits").write_bytes(written[0] + spoiled + written[1])
    store = HitStore(tmp_path, lambda: broker)
    store.waiting_bytes()
    eventually(lambda: store.waiting_bytes() == 0 and len(broker.event_ids()) == 2)
    assert broker.event_ids() == [event_id(each) for each in written]
    store.close()


def test_hits_the_disk_does_not_take_are_published_from_memory(store, broker, tmp_path):
    store.keep(hit())
    eventually(lambda: store.waiting_bytes() == 0)
    tmp_path.rename(tmp_path.with_name("gone"))
    written = hit()
    assert not store.keep(written)
    eventually(lambda: event_id(written) in broker.event_ids())
    tmp_path.with_name("gone").rename(tmp_path)


def test_without_any_disk_a_hit_is_refused_and_nothing_breaks(tmp_path, broker):
    (tmp_path / "file").touch()
    store = HitStore(tmp_path / "file" / "spool", lambda: broker)
    assert not store.keep(hit())
    assert store.waiting_bytes() is None


def test_a_forked_process_keeps_hits_of_its_own(store, broker, tmp_path):
    store.keep(hit())
    eventually(lambda: store.waiting_bytes() == 0)
    broker.is_away.set()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if store.keep(hit()) and len(list(Path(tmp_path).glob("*.lock"))) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.keep(hit())


def test_hits_reach_a_real_rabbitmq(tmp_path, rabbitmq_url):
    store = HitStore(tmp_path, lambda: BatchPublisher(rabbitmq_url))
    written = [hit() for _ in range(20)]
    for each in written:
        store.keep(each)
    store.close()
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    channel, found = connection.channel(), []
    while (got := channel.basic_get("events", auto_ack=True))[0] is not None:
        found += parse(HitsPayload, decode(got[2]).kwargs["payload"]).hits
    connection.close()
    assert [each.event_id for each in found] == [event_id(each) for each in written]
