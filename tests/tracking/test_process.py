"""A tracking process as it runs: granian, a spool on disk, RabbitMQ there or away, kill -9."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pika
import pytest

from app.cli.processes import Listener, granian_command
from app.queueing import topology
from app.queueing.messages import decode
from app.queueing.payloads import HitsPayload, parse
from tracking.tokens import TokenKeys

KEYS = "tracking-key-for-the-tests-0123456789"
TOKENS = TokenKeys.from_setting(KEYS)
ROOT = Path(__file__).parents[2]
AWAY = "amqp://nobody:nothing@127.0.0.1:9/away"
LOG = "server.log"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def tracking(state: Path, rabbitmq_url: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """Run what `mailqueue tracking` runs; yields its URL and its process, group leader."""
    port = free_port()
    command = granian_command(
        Listener(target="tracking.wsgi:app", host="127.0.0.1", port=port, workers=1, threads=4)
    )
    environ = {name: value for name, value in os.environ.items() if "MAILQUEUE" not in name}
    environ |= {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/never-opened",
        "RABBITMQ_URL": rabbitmq_url,
        "MAILQUEUE_TRACKING_KEYS": KEYS,
        "MAILQUEUE_STATE_DIR": str(state),
    }
    with (state / LOG).open("ab") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await_health(url)
        yield url, server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def await_health(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/healthz", verify=False).status_code == 200:
                return
        time.sleep(0.05)
    pytest.fail("the tracking process did not become healthy")


def open_mails(url: str, accepted: list[uuid.UUID], stop: threading.Event) -> None:
    """Open one mail after the other, noting those whose pixel was answered."""
    app_id = uuid.uuid4()
    with httpx.Client(headers={"User-Agent": "Firefox"}, verify=False) as client:
        while not stop.is_set():
            email_id = uuid.uuid4()
            try:
                client.get(f"{url}/t/{TOKENS.mail_token(email_id, app_id)}.gif").raise_for_status()
            except httpx.TransportError:
                return
            accepted.append(email_id)


def published(rabbitmq_url: str, wanted: set[uuid.UUID]) -> list[uuid.UUID]:
    """Return the mails in `events` when all `wanted` are there; fails after a while."""
    found: list[uuid.UUID] = []
    deadline = time.monotonic() + 60
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_url))) as amqp:
        channel = amqp.channel()
        topology.declare(channel)
        while not wanted <= set(found):
            assert time.monotonic() < deadline, f"{len(wanted - set(found))} hits are missing"
            method, _, body = channel.basic_get("events", auto_ack=True)
            if method is None:
                time.sleep(0.05)
                continue
            found += [h.email_id for h in parse(HitsPayload, decode(body).kwargs["payload"]).hits]
    return found


@pytest.mark.parametrize("rabbitmq", ["there", "away"])
def test_kill_9_loses_no_answered_hit(tmp_path, rabbitmq_url, rabbitmq):
    accepted: list[uuid.UUID] = []
    stop = threading.Event()
    with tracking(tmp_path, rabbitmq_url if rabbitmq == "there" else AWAY) as (url, server):
        readers = [
            threading.Thread(target=open_mails, args=(url, accepted, stop)) for _ in range(4)
        ]
        for reader in readers:
            reader.start()
        while len(accepted) < 300:
            time.sleep(0.01)
        os.killpg(server.pid, signal.SIGKILL)
        stop.set()
        for reader in readers:
            reader.join()
    with tracking(tmp_path, rabbitmq_url):
        assert set(accepted) <= set(published(rabbitmq_url, set(accepted)))
    assert "Traceback" not in (tmp_path / LOG).read_text()


def test_sigterm_publishes_what_waits_and_leaves_an_empty_spool(tmp_path, rabbitmq_url):
    accepted: list[uuid.UUID] = []
    with tracking(tmp_path, rabbitmq_url) as (url, server):
        stop = threading.Event()
        reader = threading.Thread(target=open_mails, args=(url, accepted, stop))
        reader.start()
        while len(accepted) < 20:
            time.sleep(0.01)
        stop.set()
        reader.join()
        server.terminate()
        assert server.wait(60) == 0, (tmp_path / LOG).read_text()
    assert set(published(rabbitmq_url, set(accepted))) == set(accepted)
    assert list((tmp_path / "spool").glob("*.hits")) == []


def test_sigterm_ends_it_although_rabbitmq_is_silent_and_keeps_the_hits(tmp_path, rabbitmq_url):
    accepted: list[uuid.UUID] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = f"amqp://nobody:nothing@127.0.0.1:{silent.getsockname()[1]}/silent"
        with tracking(tmp_path, away) as (url, server):
            stop = threading.Event()
            reader = threading.Thread(target=open_mails, args=(url, accepted, stop))
            reader.start()
            while len(accepted) < 20:
                time.sleep(0.01)
            stop.set()
            reader.join()
            server.terminate()
            assert server.wait(60) == 0, (tmp_path / LOG).read_text()
    with tracking(tmp_path, rabbitmq_url):
        assert set(accepted) <= set(published(rabbitmq_url, set(accepted)))
