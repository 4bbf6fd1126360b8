"""SIGTERM drains real worker processes: what is in work ends, what is prefetched goes back."""

import os
import signal
import subprocess
import sys

import pytest

from app.queueing import messages, topology
from app.queueing.payloads import Payload, TickPayload
from tests.queueing.conftest import wait_until


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.touch()
    return path


@pytest.fixture
def processes(vhost, database, log, tmp_path):
    with vhost.channel() as channel:
        topology.declare(channel)
        channel.queue_purge("send.high")
    own = {"RABBITMQ_URL": vhost.url, "DATABASE_URL": database, "SLOW_FLEET_LOG": str(log)}
    with (tmp_path / "stderr").open("w") as stderr:
        fleet = subprocess.Popen(
            [sys.executable, "-m", "dramatiq", "tests.queueing.slow_fleet", "-p", "1", "-t", "2"],
            env=os.environ | own | {"MAILQUEUE_LOG_FORMAT": "json"},
            stderr=stderr,
            start_new_session=True,
        )
    yield fleet
    if fleet.poll() is None:
        os.killpg(fleet.pid, signal.SIGKILL)  # the master and its worker
    fleet.wait()


def lines(log, word):
    return [line.split()[-1] for line in log.read_text().splitlines() if line.startswith(word)]


def put(vhost, number, payload=None):
    body = messages.encode("slow_high", "send.high", payload or TickPayload(reason=str(number)))
    vhost.put("send.high", body.body)


def test_sigterm_ends_what_is_in_work_and_returns_the_rest(vhost, processes, log):
    for number in range(8):
        put(vhost, number)
    wait_until(lambda: len(lines(log, "began")) == 2, timeout_s=20)
    processes.terminate()
    assert processes.wait(15) == 0
    assert sorted(lines(log, "began")) == sorted(lines(log, "ended"))
    assert log.read_text().splitlines()[0] == "booted"
    assert log.read_text().splitlines()[-1] == "stopped"
    wait_until(lambda: vhost.depth("send.high") == 8 - len(lines(log, "ended")))
    assert vhost.depth("dlq.send.high") == 0


@pytest.mark.usefixtures("processes")
def test_payload_that_breaks_its_schema_dies_naming_the_field(vhost, session, log):
    class Wrong(Payload):
        reasons: str

    put(vhost, 0, Wrong(reasons="canary"))
    headers, _ = vhost.take("dlq.send.high", timeout_s=20)
    assert headers["x-error-class"] == "MessageMalformed"
    assert "TickPayload: reasons" in headers["x-error"]
    assert lines(log, "began") == []
    [row] = wait_until(lambda: session.execute("SELECT queue, actor FROM dead_letters").fetchall())
    assert row == ("send.high", "slow_high")
