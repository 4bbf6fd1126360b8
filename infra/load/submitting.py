"""Mail through the HTTP API: `mailqueue web` with a key, seed 003's payload, one kept connection."""

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from app.config import settings
from app.db.session import Session
from app.errors import DependencyUnavailable
from app.tenancy import api_keys, queues
from infra.load import fleet, letters, tenant
from infra.load.running import running, wait_for_port
from infra.local import programs
from infra.local.ports import free_port

EMAILS, BATCH = "/v1/emails", "/v1/emails/batch"
QUEUE = "transactional"
_PRIORITY = 9
_MOST_PER_MINUTE = 1_000_000
_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A running `mailqueue web` and a key to submit with."""

    port: int
    pid: int
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}


class Client:
    """One connection to the API, kept open."""

    def __init__(self, office: Office) -> None:
        self._headers = office.headers
        self._connection = http.client.HTTPConnection("127.0.0.1", office.port, timeout=_TIMEOUT_S)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post and return the answer; raises DependencyUnavailable unless it was accepted."""
        return self.post_bytes(path, json.dumps(body).encode())

    def post_bytes(self, path: str, body: bytes) -> dict[str, Any]:
        """Post what is JSON already: as post, without the time to write it."""
        self._connection.request("POST", path, body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != http.HTTPStatus.ACCEPTED:
            raise DependencyUnavailable(
                f"POST {path} answered {answer.status}, not 202.",
                why=said[:500].decode(errors="replace"),
                fix="The parts that submit by HTTP need the API of this version.",
            )
        found: dict[str, Any] = json.loads(said)
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def office(session: Session, folder: Path, app_id: UUID, processes: int = 1) -> Iterator[Office]:
    """Run `mailqueue web`, with a key of the app and a queue of high priority."""
    queues.create(
        session,
        queues.NewQueue(app_id=app_id, name=QUEUE, priority=_PRIORITY),
        tenant.AUTHOR,
    )
    new = api_keys.NewKey(
        app_id=app_id,
        name=tenant.NAME,
        scopes=("email:send", "email:read"),
        per_minute=_MOST_PER_MINUTE,
    )
    pepper = settings().api_key_pepper.get_secret_value()
    issued = api_keys.create(session, pepper, new, tenant.AUTHOR)
    port = free_port()
    env = fleet.environment() | {"MAILQUEUE_WEB_PORT": str(port)}
    command = programs.python("app", "web", "--workers", processes)
    with running(command, folder / "web.log", env=env) as process:
        wait_for_port(port, process)
        yield Office(port=port, pid=process.pid, key=issued.text)


@contextmanager
def client(where: Office) -> Iterator[Client]:
    """Open a client for the time of the block."""
    with contextlib.closing(Client(where)) as opened:
        yield opened


def email(subject: str) -> dict[str, Any]:
    """Return seed 003's payload of one mail."""
    return {
        "queue": QUEUE,
        "from": {"email": tenant.account_address(0), "name": "Sender"},
        "to": [{"email": letters.address(1), "name": "John Doe"}],
        "subject": subject,
        "html": "<h1>Hello {{firstName}}</h1><p>Your receipt for {{company}}.</p>" * 8,
        "text": "Hello {{firstName}}, your receipt for {{company}}.\n" * 8,
        "personalizations": letters.variables(1),
        "metadata": {"user_id": "12345", "campaign": "onboarding"},
    }


def batch(count: int) -> dict[str, Any]:
    """Return shared content for `count` recipients with their own variables."""
    shared = {name: value for name, value in email("Hello").items() if name != "to"}
    shared.pop("personalizations")
    mails = [
        {"to": letters.address(number), "personalizations": letters.variables(number)}
        for number in range(count)
    ]
    return {**shared, "emails": mails}
