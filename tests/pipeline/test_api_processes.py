"""The API as it runs: `mailqueue web`, workers, a clock, an inbox; spoken to by curl and by crowds."""

import concurrent.futures
import contextlib
import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from app.db import session as db
from app.db.session import Session
from app.inbox import Inbox
from infra.local.ports import free_port
from tests import stack
from tests.conftest import SECRETS, own_settings
from tests.pipeline.conftest import ROOT, Fleet

OPERATOR = SECRETS["MAILQUEUE_ADMIN_SECRET"]
MAIL = {
    "from": {"email": "test@example.com"},
    "to": [{"email": "user@example.com"}],
    "subject": "Test",
    "html": "<p>Hello</p>",
}
# Seed 003, "Local Development Testing": host, port and key are the only things put in.
NEW_APP = """curl -X POST http://localhost:3000/v1/apps \
  -H "Authorization: Bearer ADMIN_SECRET" \
  -d '{"name": "Test App"}'"""
NEW_QUEUE = """curl -X POST http://localhost:3000/v1/queues \
  -H "Authorization: Bearer mq_test_xxx" \
  -d '{"name": "transactional", "priority": 7}'"""
NEW_EMAIL = """curl -X POST http://localhost:3000/v1/emails \
  -H "Authorization: Bearer mq_test_xxx" \
  -d '{
    "queue": "transactional",
    "from": {"email": "test@example.com"},
    "to": [{"email": "user@example.com"}],
    "subject": "Test",
    "html": "<p>Hello</p>"
  }'"""


class Web:
    """One `mailqueue web` of this test's own."""

    def __init__(self, log: Path, workers: int = 2) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._workers = workers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "app", "web", "--workers", str(self._workers)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"MAILQUEUE_WEB_PORT": str(self.port)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        ends_at = time.monotonic() + 90
        while not self._answers():
            assert time.monotonic() < ends_at, self._log.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9 of the whole tree."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5, verify=False).is_success
        except httpx.HTTPError:
            return False


@dataclass(frozen=True, kw_only=True)
class House:
    """What runs, and its database. Each test has an app and an inbox of its own in it."""

    web: Web
    session: Session


@pytest.fixture(scope="module")
def house(
    database_url: str,
    maintenance: psycopg.Connection,
    template_database: str,
    redis_number: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    """`mailqueue web`, workers and a clock, which the tests of this module share."""
    folder = tmp_path_factory.mktemp("house")
    vhost = stack.vhost(stack.required("RABBITMQ_URL"), stack.required("RABBITMQ_MANAGEMENT_URL"))
    with (
        stack.cloned(database_url, maintenance, template_database) as url,
        vhost as rabbitmq_url,
        pytest.MonkeyPatch.context() as patch,
        contextlib.closing(redis.Redis.from_url(redis_number)) as limits,
        contextlib.closing(db.connect(url)) as session,
    ):
        limits.flushdb()
        own = {"DATABASE_URL": url, "RABBITMQ_URL": rabbitmq_url, "REDIS_URL": redis_number}
        with own_settings(patch, own, folder), running(folder) as web:
            yield House(web=web, session=session)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Web]:
    """Start everything at once; what is left of it is killed."""
    web, fleet = Web(folder / "web.log"), Fleet(folder / "fleet.log")
    with (folder / "clock.log").open("ab") as log:
        command = [sys.executable, "-m", "app", "clock"]
        clock = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        fleet.start()
        web.start()
        yield web
    finally:
        web.kill()
        fleet.kill()
        clock.kill()
        clock.wait()


def new_app(web: Web, inbox: Inbox, name: str = "Test App") -> tuple[str, str]:
    """Make an app with a server that is the inbox; return its id and its key."""
    made = curl(NEW_APP.replace("Test App", name), web, OPERATOR)
    key = str(made["api_key"])
    server = {"name": "inbox", "host": "127.0.0.1", "port": inbox.smtp_port, "security": "none"}
    post(web, key, "/v1/smtp-configs", server).raise_for_status()
    return str(made["id"]), key


def curl(command: str, web: Web, key: str) -> Any:
    """Run a command of the seed with host, port and key put in; return what it answers."""
    written = command.replace("http://localhost:3000", web.url)
    written = written.replace("ADMIN_SECRET", key).replace("mq_test_xxx", key)
    words = shlex.split(written)
    assert words[0] == "curl"
    done = subprocess.run([*words, "-sS", "--fail-with-body"], capture_output=True, check=False)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def post(web: Web, key: str, path: str, body: object, **headers: str) -> httpx.Response:
    headers["Authorization"] = f"Bearer {key}"
    return httpx.post(web.url + path, json=body, headers=headers, timeout=60, verify=False)


Until = Callable[..., None]


def test_the_seeds_curl_commands_end_in_a_mail_in_the_inbox(
    house: House, inbox: Inbox, until: Until
) -> None:
    web = house.web
    _, key = new_app(web, inbox)
    assert curl(NEW_QUEUE, web, key)["priority"] == 7
    email_id = curl(NEW_EMAIL, web, key)["id"]
    until(inbox.messages, within_s=120)
    (mail,) = inbox.messages()
    assert (mail.rcpt_to, mail.subject) == (("user@example.com",), "Test")
    status = f'curl {web.url}/v1/emails/{email_id} -H "Authorization: Bearer {key}"'
    until(lambda: curl(status, web, key)["status"] == "sent", within_s=60)


def test_seed_004s_examples_end_in_a_mail_in_the_inbox(
    house: House, inbox: Inbox, until: Until
) -> None:
    web = house.web
    _, key = new_app(web, inbox, "Seed 004")
    post(web, key, "/v1/emails", MAIL | {"scheduled_at": "2099-01-01T00:00:00Z"})
    order = {
        "recipients": ["user@example.com"],
        "subject": "Scheduled Email",
        "body": "Email content",
        "html_body": "<h1>Email content</h1>",
        "scheduled_at": "2024-01-15T10:00:00Z",
        "max_retries": 3,
        "attachments": [
            {
                "filename": "document.pdf",
                "content": "base64-content",
                "contentType": "application/pdf",
            }
        ],
        "metadata": {"campaign_id": "campaign-123"},
    }
    taken = post(web, key, "/api/v1/schedule-mail", order).json()
    assert taken["success"], taken
    until(lambda: "Scheduled Email" in {mail.subject for mail in inbox.messages()}, within_s=120)
    assert post(web, key, "/api/v1/test-email", {"to": "test@example.com"}).is_success
    until(lambda: len(inbox.messages()) == 2, within_s=120)
    headers = {"Authorization": f"Bearer {key}"}
    for path in (
        f"/api/v1/status/{taken['data']['id']}",
        "/api/v1/scheduled-emails?status=pending&limit=20&offset=0",
        "/api/v1/queue-stats",
        "/health",
    ):
        assert httpx.get(web.url + path, headers=headers, timeout=30).is_success, path


def test_two_hundred_identical_posts_make_one_email(house: House, inbox: Inbox) -> None:
    web, session = house.web, house.session
    app_id, key = new_app(web, inbox, "Identical")

    def submit(_: int) -> tuple[int, str]:
        answer = post(web, key, "/v1/emails", MAIL, **{"Idempotency-Key": "the-same"})
        return answer.status_code, answer.text

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(submit, range(200)))
    taken = {text for status, text in answers if status == 202}
    assert len(taken) == 1
    assert {status for status, _ in answers} <= {202, 409}
    count = "SELECT count(*) FROM emails WHERE app_id = %s"
    assert session.execute(count, (app_id,)).fetchone() == (1,)


def test_each_accepted_email_outlives_the_killed_web_process(
    house: House, inbox: Inbox, until: Until
) -> None:
    web, session = house.web, house.session
    app_id, key = new_app(web, inbox, "Killed")
    accepted: list[str] = []
    is_over = threading.Event()
    numbers = itertools.count()

    def submit() -> None:
        while not is_over.wait(0.05):
            to = [{"email": f"u{next(numbers)}@example.com"}]
            try:
                answer = post(web, key, "/v1/emails", MAIL | {"to": to})
            except httpx.HTTPError:
                continue  # no answer: nothing was promised
            if answer.status_code == 202:
                accepted.append(answer.json()["id"])

    clients = [threading.Thread(target=submit) for _ in range(4)]
    for client in clients:
        client.start()
    for round_ in range(1, 3):
        until(lambda most=round_ * 40: len(accepted) >= most, within_s=120)
        web.kill()
        web.start()
    is_over.set()
    for client in clients:
        client.join()
    found = session.execute("SELECT id FROM emails WHERE app_id = %s", (app_id,)).fetchall()
    kept = {str(row[0]) for row in found}
    assert set(accepted) <= kept
    moving = "SELECT count(*) FROM emails WHERE app_id = %s AND status <> 'sent'"
    until(lambda: session.execute(moving, (app_id,)).fetchone() == (0,), within_s=180)
    recipients = [mail.rcpt_to for mail in inbox.messages()]
    assert len(recipients) == len(set(recipients)) == len(kept)


def test_a_batch_of_ten_thousand_is_answered_at_once_and_expanded_soon(
    house: House, inbox: Inbox, until: Until
) -> None:
    web, session = house.web, house.session
    _, key = new_app(web, inbox, "Batch")
    order: dict[str, Any] = {name: part for name, part in MAIL.items() if name != "to"}
    order["scheduled_at"] = "2027-06-01T00:00:00Z"
    post(web, key, "/v1/emails/batch", order | {"emails": [{"to": "a@example.com"}]})
    order["emails"] = [{"to": f"u{number}@example.com"} for number in range(10_000)]
    began = time.monotonic()
    answer = post(web, key, "/v1/emails/batch", order)
    answered_s = time.monotonic() - began
    assert answer.status_code == 202, answer.text
    count = "SELECT count(*) FROM emails WHERE batch_id = %s"
    made = (answer.json()["id"],)
    until(lambda: session.execute(count, made).fetchone() == (10_000,), within_s=120)
    expanded_s = time.monotonic() - began
    print(f"answered in {answered_s * 1000:.0f} ms, expanded in {expanded_s:.2f} s")  # noqa: T201
    assert answered_s < 10
