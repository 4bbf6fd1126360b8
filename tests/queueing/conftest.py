"""A vhost and a database per test module on the real servers, and a wire that can be cut."""

import contextlib
import datetime as dt
import secrets
import socket
import threading
import time
import urllib.parse

import dramatiq
import dramatiq.worker
import httpx
import pika
import pytest

from actors.declare import middlewares
from actors.middleware import WorkerBoot
from app.queueing.broker import LadderBroker
from app.queueing.messages import OrjsonEncoder
from app.queueing.steps import Rung
from tests import stack

RUNGS = tuple(
    Rung(label=f"test{ms}", delay=dt.timedelta(milliseconds=ms)) for ms in (100, 200, 300)
)


def wait_until(condition, timeout_s=10.0):
    """Return the first true value of `condition`; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    return pytest.fail(f"not within {timeout_s} s")


class Vhost:
    """A vhost of its own: what AMQP does with it, and what the management API says about it."""

    def __init__(self, url, management_url):
        self.url = url
        self._parts = urllib.parse.urlsplit(url)
        self.name = self._parts.path.removeprefix("/")
        self.host, self.port = self._parts.hostname, self._parts.port
        self._management = httpx.Client(base_url=management_url, timeout=10)

    def url_at(self, port):
        """Return the URL of the same vhost through another port of this machine."""
        login = f"{self._parts.username}:{self._parts.password}"
        return self._parts._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()

    def api(self, path):
        """Return what the management API says."""
        answer = self._management.get(f"api/{path}")
        answer.raise_for_status()
        return answer.json()

    def allow(self, write):
        """Let the user publish only to what `write` matches."""
        rights = {"configure": ".*", "write": write, "read": ".*"}
        path = f"api/permissions/{self.name}/{self._parts.username}"
        self._management.put(path, json=rights).raise_for_status()

    def close(self):
        self._management.close()

    @contextlib.contextmanager
    def channel(self):
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()

    def put(self, queue, body):
        with self.channel() as channel:
            channel.basic_publish("", queue, body, mandatory=True)

    def take(self, queue, timeout_s=10.0):
        """Return (headers, body) of the next message of `queue`, removed from it."""
        with self.channel() as channel:

            def get():
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                return method and (properties.headers or {}, body)

            return wait_until(get, timeout_s)

    def depth(self, queue):
        """Return how many messages of `queue` are ready."""
        with self.channel() as channel:
            return channel.queue_declare(queue, passive=True).method.message_count


@pytest.fixture(scope="module")
def vhost():
    """A fresh vhost, deleted after the module."""
    management_url = stack.required("RABBITMQ_MANAGEMENT_URL")
    with stack.vhost(stack.required("RABBITMQ_URL"), management_url) as url:
        host = Vhost(url, management_url)
        yield host
        host.close()


class Wire:
    """A TCP proxy: `cut` breaks what runs through it, `close_door` refuses new connections."""

    def __init__(self, host, port):
        self._target = (host, port)
        self._pairs = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._is_open = True
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._is_open:
                near.close()
                continue
            far = socket.create_connection(self._target)
            with self._lock:
                self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._flows.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self._flows.set()
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def hold(self):
        """Let nothing through any more, without closing: a server that went silent."""
        self._flows.clear()

    def close_door(self):
        self._is_open = False
        self.cut()

    def open_door(self):
        self._is_open = True

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


@pytest.fixture
def wire(vhost):
    """A wire to RabbitMQ."""
    one = Wire(vhost.host, vhost.port)
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def quick_restart(monkeypatch):
    """Dramatiq's consumers come back at once instead of after 3 s; messages travel as orjson."""
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.1)
    dramatiq.set_encoder(OrjsonEncoder())


class Fleet:
    """A broker with the real middlewares and short rungs, one queue, and workers in this process."""

    def __init__(self, url, record):
        self.queue = f"work_{secrets.token_hex(4)}"
        self.broker = LadderBroker(
            url=url, middleware=middlewares(WorkerBoot([], [])), ladder=RUNGS, record=record
        )
        self._worker = None

    def actor(self, fn, **options):
        return dramatiq.actor(
            fn, broker=self.broker, queue_name=self.queue, actor_name="work", **options
        )

    def start(self, threads=2):
        self.broker.emit_after("process_boot")
        self._worker = dramatiq.Worker(self.broker, worker_threads=threads, worker_timeout=50)
        self._worker.start()

    def stop(self):
        if self._worker is not None:
            self._worker.stop(timeout=5_000)
            self._worker = None
        self.broker.close()


@pytest.fixture
def record():
    """What is called with each dead letter; tests with a database override it."""


@pytest.fixture
def fleet(vhost, record):
    """Workers over a direct connection, stopped after the test."""
    one = Fleet(vhost.url, record)
    yield one
    one.stop()


@pytest.fixture
def wired_fleet(vhost, wire):
    """Workers whose connections run over the wire."""
    one = Fleet(vhost.url_at(wire.port), None)
    yield one
    one.stop()
