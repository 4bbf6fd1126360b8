"""A PostgreSQL in trouble: its connections are cut, it stands still, it is away for a while."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from app.db.session import Session

_PAUSE_S, _AWAY_S = 0.3, 1.0


@contextmanager
def troubled(session: Session, database_url: str, database: str) -> Iterator[None]:
    """Trouble the test's `database` all the while; only `session` itself is left alone.

    `database_url` is the server's own database, from where the trouble comes.
    """
    is_over = threading.Event()
    place = (database_url, database, session.info.dbname, session.info.backend_pid)
    trouble = threading.Thread(target=_trouble_until, args=(is_over, *place))
    trouble.start()
    try:
        yield
    finally:
        is_over.set()
        trouble.join()


def _trouble_until(
    is_over: threading.Event, database_url: str, database: str, name: str, spared: int
) -> None:
    with psycopg.connect(database_url, autocommit=True) as other:
        for turn in itertools.count():
            if turn % 6 == 2:
                _stall(is_over, database)
            _cut(other, name, spared)
            if turn % 6 == 5:
                _shut(is_over, other, name)
            if is_over.wait(_PAUSE_S):
                return


def _cut(other: psycopg.Connection, name: str, spared: int) -> None:
    """End every connection, as a crash does."""
    other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
        (name, spared),
    )


def _shut(is_over: threading.Event, other: psycopg.Connection, name: str) -> None:
    """Let nobody in, as while it restarts."""
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    other.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
    is_over.wait(_AWAY_S)
    other.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


def _stall(is_over: threading.Event, database: str) -> None:
    """Let every write wait, as a full disk queue does."""
    with psycopg.connect(database) as slow:
        slow.execute("LOCK TABLE inbound_messages, emails IN EXCLUSIVE MODE")
        is_over.wait(_AWAY_S)
