"""The real parts every test stands on: a migrated database, a vhost, a Redis, settings.

Nothing is skipped when a part is missing: `./run test` starts them all, and so says the failure.
"""

import base64
import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import settings as property_tests

from app import config
from app.config import Settings
from app.db import session as db
from tests import stack
from tests.stock import Stock

SECRETS = {
    "MAILQUEUE_SEALING_KEYS": "test:" + base64.b64encode(stack.SEALING_KEY).decode(),
    "MAILQUEUE_TRACKING_KEYS": "tracking-key-for-the-tests-0123456789",
    "MAILQUEUE_ADDRESS_PEPPER": stack.ADDRESS_PEPPER,
    "MAILQUEUE_API_KEY_PEPPER": "api key pepper for the tests",
    "MAILQUEUE_CRON_SECRET": "cron secret for the tests",
    "MAILQUEUE_ADMIN_SECRET": "admin secret for the tests",
    "MAILQUEUE_JWT_KEYS": "jwt-key-for-the-tests-0123456789-abcdef",
    "MAILQUEUE_SMTP_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
}

# A loaded machine is slow at any moment: only what a test asserts may fail it.
property_tests.register_profile(
    "loaded machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
property_tests.load_profile("loaded machine")


@pytest.fixture(scope="session")
def database_url() -> str:
    """The server's own database: CREATE DATABASE is said here, no table is made in it."""
    return stack.required("DATABASE_URL")


@pytest.fixture(scope="session")
def maintenance(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template_database(database_url: str, maintenance: psycopg.Connection) -> str:
    """The name of a migrated database, made once for all workers and kept for the next run."""
    return stack.migrated_template(database_url, maintenance)


@pytest.fixture(scope="session")
def databases(
    database_url: str, maintenance: psycopg.Connection, template_database: str
) -> Iterator[Stock]:
    """Migrated databases."""
    clone = functools.partial(stack.cloned, database_url, maintenance, template_database)
    with contextlib.closing(Stock(clone)) as made:
        yield made


@pytest.fixture
def database(databases: Stock) -> Iterator[str]:
    """The URL of a migrated database of this test's own."""
    with databases.one() as url:
        yield url
        db.close_thread_session()


@pytest.fixture
def empty_database(database_url: str, maintenance: psycopg.Connection) -> Iterator[str]:
    """The URL of a database without any table: for tests of the migrations themselves."""
    with stack.cloned(database_url, maintenance, "template0") as url:
        yield url


@pytest.fixture(scope="module")
def scratch(
    database_url: str, maintenance: psycopg.Connection, template_database: str
) -> Iterator[db.Session]:
    """A worker's session to a database that the tests of a module share: for many small tests
    that make an app of their own or leave nothing behind.
    """
    with (
        stack.cloned(database_url, maintenance, template_database) as url,
        contextlib.closing(db.connect(url)) as opened,
    ):
        yield opened


@pytest.fixture
def session(database: str) -> Iterator[db.Session]:
    """A worker's session to this test's database."""
    with contextlib.closing(db.connect(database)) as opened:
        yield opened


@pytest.fixture(scope="session")
def vhosts() -> Iterator[Stock]:
    """AMQP URLs, each with a vhost of its own."""
    url, management_url = map(stack.required, ("RABBITMQ_URL", "RABBITMQ_MANAGEMENT_URL"))
    with contextlib.closing(Stock(functools.partial(stack.vhost, url, management_url))) as made:
        yield made


@pytest.fixture
def rabbitmq_url(vhosts: Stock) -> Iterator[str]:
    """An AMQP URL with a vhost of this test's own."""
    with vhosts.one() as url:
        yield url


@pytest.fixture(scope="session")
def redis_number() -> Iterator[str]:
    """The URL of a Redis database number no other worker and no other run uses."""
    with stack.redis_number(stack.required("REDIS_URL")) as url:
        yield url


@pytest.fixture
def redis_url(redis_number: str) -> str:
    """A Redis URL whose database is empty."""
    with contextlib.closing(redis.Redis.from_url(redis_number)) as client:
        client.flushdb()
    return redis_number


@pytest.fixture
def settings(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with this test's database, test secrets and an own state directory.

    The process's environment stays as it is: `configured` is for code that calls settings().
    """
    with monkeypatch.context() as patch:
        _set(patch, {"DATABASE_URL": database, "MAILQUEUE_STATE_DIR": str(tmp_path)})
        return Settings(_env_file=None)


@pytest.fixture
def configured(
    database: str,
    rabbitmq_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """The process's own settings(), for tests that run actors in this process."""
    own = {"DATABASE_URL": database, "RABBITMQ_URL": rabbitmq_url, "REDIS_URL": redis_url}
    with own_settings(monkeypatch, own, tmp_path) as chosen:
        yield chosen


@contextlib.contextmanager
def own_settings(
    patch: pytest.MonkeyPatch, own: dict[str, str], folder: Path
) -> Iterator[Settings]:
    """Make settings() read `own` and the test secrets; state and archive go into `folder`."""
    folders = {
        "MAILQUEUE_STATE_DIR": str(folder),
        "MAILQUEUE_ARCHIVE_DIR": str(folder / "archive"),
    }
    _set(patch, own | folders)
    patch.setitem(Settings.model_config, "env_file", None)  # a developer's own .env
    config.settings.cache_clear()
    yield config.settings()
    config.settings.cache_clear()


def _set(patch: pytest.MonkeyPatch, own: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("MAILQUEUE_")]:
        patch.delenv(name)
    for name, value in (SECRETS | own).items():
        patch.setenv(name, value)
