"""How tests get parts of their own from the running PostgreSQL, RabbitMQ and Redis."""

import contextlib
import datetime as dt
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import psycopg
import pytest
import redis
from psycopg import sql

from app.db import migrate

SEALING_KEY = b"sealing key for the tests, 32 by"
ADDRESS_PEPPER = "address pepper for the tests"
REDIS_CLAIM_S = 3_600
_NO_CERTIFICATES = False  # on loopback, in clear: to load the world's takes 50 ms


def required(variable: str) -> str:
    """Return an environment variable, or end the run saying how to get it."""
    value = os.environ.get(variable)
    if not value:
        pytest.exit(f"{variable} is not set. Run `./run test`: it starts every part.", returncode=2)
    return value


def beside(database_url: str, name: str) -> str:
    """Return the URL of the database `name` on the same server."""
    return urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))


def name_of(database_url: str) -> str:
    """Return the name of the database that a URL names."""
    return urlsplit(database_url).path.removeprefix("/")


def migrated_template(database_url: str, maintenance: psycopg.Connection) -> str:
    """Return the name of a migrated database to clone; the first process makes it.

    Its name says what is in it (revisions and calendar month), so a later run uses it again.
    """
    name = f"mailqueue_template_{_fingerprint()}"
    maintenance.execute("SELECT pg_advisory_lock(hashtext('mailqueue test template'))")
    try:
        found = "SELECT FROM pg_database WHERE datname = %s"
        if maintenance.execute(found, (name,)).fetchone() is None:
            _make_template(database_url, maintenance, name)
    finally:
        maintenance.execute("SELECT pg_advisory_unlock(hashtext('mailqueue test template'))")
    return name


@contextlib.contextmanager
def cloned(database_url: str, maintenance: psycopg.Connection, template: str) -> Iterator[str]:
    """Copy the database `template`; yield the copy's URL; drop it, whoever is connected.

    By files: through the WAL, PostgreSQL's usual way, a copy costs five times the processor time.
    """
    copy = f"mailqueue_test_{secrets.token_hex(16)}"
    name = sql.Identifier(copy)
    clone = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    maintenance.execute(clone.format(name, sql.Identifier(template)))
    try:
        yield beside(database_url, copy)
    finally:
        maintenance.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _make_template(database_url: str, maintenance: psycopg.Connection, name: str) -> None:
    unfinished = sql.Identifier(f"{name}_unfinished")
    maintenance.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(unfinished))
    maintenance.execute(sql.SQL("CREATE DATABASE {}").format(unfinished))
    migrate.upgrade(beside(database_url, f"{name}_unfinished"))
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    maintenance.execute(rename.format(unfinished, sql.Identifier(name)))


def _fingerprint() -> str:
    digest = hashlib.sha256(dt.datetime.now(dt.UTC).strftime("%Y-%m").encode())
    for path in sorted(Path(migrate.SCRIPTS).rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def vhost(rabbitmq_url: str, management_url: str) -> Iterator[str]:
    """Make a vhost with all rights for the URL's user; yield its AMQP URL; delete it."""
    name = f"test-{secrets.token_hex(8)}"
    parts = urlsplit(rabbitmq_url)
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    with httpx.Client(base_url=management_url, timeout=30, verify=_NO_CERTIFICATES) as client:
        client.put(f"api/vhosts/{name}").raise_for_status()
        user = quote(parts.username or "guest", safe="")
        client.put(f"api/permissions/{name}/{user}", json=everything).raise_for_status()
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            client.delete(f"api/vhosts/{name}").raise_for_status()


@contextlib.contextmanager
def redis_number(url: str) -> Iterator[str]:
    """Claim a database number in database 0, so that parallel runs never empty each other's."""
    parts = urlsplit(url)
    owner = secrets.token_hex(8)
    with contextlib.closing(redis.Redis.from_url(urlunsplit(parts._replace(path="/0")))) as client:
        databases = int(client.config_get("databases")["databases"])
        for number in range(1, databases):
            claim = f"mailqueue:test:database:{number}"
            if client.set(claim, owner, nx=True, ex=REDIS_CLAIM_S):
                yield urlunsplit(parts._replace(path=f"/{number}"))
                client.delete(claim)
                return
    pytest.exit("Every Redis database number is taken by another test run.", returncode=2)
