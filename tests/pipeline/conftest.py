"""A whole pipeline on real parts: an inbox, a worker fleet in processes of its own, a pass."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app import config
from app.config import Settings
from app.db.session import Session
from app.inbound.server import InboundServer
from app.inbox import Inbox
from tests.factories import (
    default_queue,
    make_account,
    make_app,
    make_template_version,
)

ROOT = Path(__file__).parents[2]
DOMAIN = "in.example"


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path / "inbox") as running:
        yield running


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch, configured: Settings) -> Iterator[Settings]:
    """The process's settings with an inbound domain, on any port."""
    del configured
    monkeypatch.setenv("MAILQUEUE_INBOUND_DOMAIN", DOMAIN)
    monkeypatch.setenv("MAILQUEUE_INBOUND_PORT", "0")
    monkeypatch.setenv("MAILQUEUE_INBOUND_PER_MINUTE", "1000000")
    config.settings.cache_clear()
    yield config.settings()
    config.settings.cache_clear()


@pytest.fixture
def server(listening: Settings) -> Iterator[InboundServer]:
    with InboundServer(listening) as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Sender:
    """What an e-mail of these tests carries: keyword arguments of factories.make_email."""

    app_id: UUID
    fields: dict[str, UUID]


@pytest.fixture
def make_sender(session: Session, inbox: Inbox) -> Callable[..., Sender]:
    def make(port: int = inbox.smtp_port, **limits: Any) -> Sender:
        app_id = make_app(session).id
        account = make_account(session, app_id, server={"port": port}, **limits)
        fields = {
            "account_id": account.id,
            "template_version_id": make_template_version(session, app_id),
            "queue_id": default_queue(session, app_id).id,
        }
        return Sender(app_id=app_id, fields=fields)

    return make


class Fleet:
    """One `dramatiq actors` process tree of this test's own."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.start_stages()

    def start_stages(self, *queues: str) -> None:
        """Start workers of these queues alone; none means all."""
        only = ["-Q", *queues] if queues else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dramatiq", "actors", "-p", "1", "-t", "3", *only],
                cwd=ROOT,
                env=dict(os.environ),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9 of the whole tree."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM: finish what is under way, then leave."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            self._process = None

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def is_ready(self) -> bool:
        """Whether workers have booted, with a database and a RabbitMQ that were there."""
        return "process.started" in self.log


@pytest.fixture
def fleet(configured: Settings, tmp_path: Path) -> Iterator[Fleet]:
    del configured
    running = Fleet(tmp_path / "fleet.log")
    yield running
    running.kill()


@pytest.fixture
def run_pass(configured: Settings, session: Session) -> Iterator[Callable[[], Any]]:
    """Runs one scheduling pass in this process."""
    from actors import runtime, schedule  # noqa: PLC0415 - the broker reads the test's settings

    made = (runtime.publisher, runtime.limiter, runtime.surroundings, runtime.token_keys)
    for tool in made:
        tool.cache_clear()
    yield lambda: schedule.run_pass(session, configured, reason="test")
    runtime.publisher().close()
    runtime.limiter().close()
    for tool in made:
        tool.cache_clear()


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for a condition, with a deadline."""

    def wait(condition: Callable[[], object], within_s: float = 20.0) -> None:
        ends_at = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < ends_at, "it did not happen in time"
            time.sleep(0.05)

    return wait
