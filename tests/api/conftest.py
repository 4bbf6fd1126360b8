"""A desk: the whole web application over one database, and callers of apps of their own."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from app.audit import Author
from app.config import Settings
from app.db import session as db
from app.tenancy import api_keys
from app.tenancy.api_keys import NewKey
from app.tenancy.scopes import Scope
from app.wsgi import create_app
from tests import factories, stack
from tests.conftest import SECRETS

OPERATOR = "operator secret of the tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A caller with a key: requests go out with it."""

    client: FlaskClient
    app_id: UUID
    headers: dict[str, str]

    def ask(self, method: str, path: str, **sent: Any) -> TestResponse:
        headers = self.headers | sent.pop("headers", {})
        return self.client.open(path, method=method, headers=headers, **sent)

    def get(self, path: str, **sent: Any) -> Any:
        return self._good(self.ask("GET", path, **sent))

    def post(self, path: str, body: object = None, **sent: Any) -> Any:
        given = {} if body is None else {"json": body}
        return self._good(self.ask("POST", path, **given, **sent))

    def put(self, path: str, body: object) -> Any:
        return self._good(self.ask("PUT", path, json=body))

    def delete(self, path: str) -> None:
        self._good(self.ask("DELETE", path))

    @staticmethod
    def _good(answer: TestResponse) -> Any:
        assert answer.status_code < 300, answer.text
        return answer.json if answer.is_json else answer.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The application and the database behind it."""

    client: FlaskClient
    session: db.Session
    settings: Settings

    def person(self, *scopes: Scope, **fields: Any) -> Person:
        """Return somebody with a key to an app of their own, of all scopes by default."""
        return self.colleague(factories.make_app(self.session).id, *scopes, **fields)

    def colleague(self, app_id: UUID, *scopes: Scope, **fields: Any) -> Person:
        """Return somebody else with a key to the same app."""
        new = NewKey(app_id=app_id, name="test", scopes=scopes or (Scope.ADMIN,), **fields)
        pepper = self.settings.api_key_pepper.get_secret_value()
        issued = api_keys.create(self.session, pepper, new, Author(name="cli"))
        headers = {"Authorization": f"Bearer {issued.text}"}
        return Person(client=self.client, app_id=app_id, headers=headers)

    def operator(self, app_id: UUID | None = None) -> Person:
        """Return the operator, who may name an app."""
        named = {} if app_id is None else {"X-App-Id": str(app_id)}
        headers = {"Authorization": f"Bearer {OPERATOR}"} | named
        return Person(client=self.client, app_id=app_id or UUID(int=0), headers=headers)


@pytest.fixture(scope="module")
def desk(
    database_url: str,
    maintenance: psycopg.Connection,
    template_database: str,
    redis_number: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    """The desk that the tests of a module share; RabbitMQ is where RABBITMQ_URL says."""
    secrets = {name.removeprefix("MAILQUEUE_").lower(): text for name, text in SECRETS.items()}
    vhost = stack.vhost(stack.required("RABBITMQ_URL"), stack.required("RABBITMQ_MANAGEMENT_URL"))
    with (
        stack.cloned(database_url, maintenance, template_database) as url,
        contextlib.closing(db.connect(url)) as session,
        vhost as rabbitmq_url,
    ):
        chosen = Settings(
            _env_file=None,
            DATABASE_URL=url,
            REDIS_URL=redis_number,
            RABBITMQ_URL=rabbitmq_url,
            **secrets,
        ).model_copy(
            update={
                "admin_secret": SecretStr(OPERATOR),
                "state_dir": tmp_path_factory.mktemp("state"),
                "api_per_minute": 1_000_000,
            }
        )
        with create_app(chosen).test_client() as client:
            yield Desk(client=client, session=session, settings=chosen)
        db.close_thread_session()
