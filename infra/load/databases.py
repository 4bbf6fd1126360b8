"""Databases of a benchmark beside the usual one, on the same server; they go with the services."""

import contextlib
import os
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from app.config import settings


def new_database(name: str) -> str:
    """Return the URL of an empty database, in place of one of that name."""
    ours = settings().database_url
    with psycopg.connect(ours, autocommit=True) as session:
        for statement in ("DROP DATABASE IF EXISTS {}", "CREATE DATABASE {}"):
            session.execute(sql.SQL(statement).format(sql.Identifier(name)))
    return urlunsplit(urlsplit(ours)._replace(path=f"/{name}"))


@contextlib.contextmanager
def at(url: str) -> Iterator[None]:
    """Let this process, and those it starts, work with another database for the time of the block."""
    usual = os.environ["DATABASE_URL"]
    os.environ["DATABASE_URL"] = url
    settings.cache_clear()
    try:
        yield
    finally:
        os.environ["DATABASE_URL"] = usual
        settings.cache_clear()
