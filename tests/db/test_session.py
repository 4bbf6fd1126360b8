"""Sessions whose connection ends: one name for it, and a fresh session after it."""

import contextlib
import time
import uuid

import psycopg
import pytest

from app.db import session as db


def freeze_in_a_transaction(frozen: db.Session, watcher: db.Session) -> None:
    """Leave `frozen` idle in its transaction until PostgreSQL has ended it."""
    frozen.execute("SET LOCAL idle_in_transaction_session_timeout = '10ms'")
    seen = "SELECT FROM pg_stat_activity WHERE pid = %s"
    deadline = time.monotonic() + 60
    while watcher.execute(seen, (frozen.info.backend_pid,)).fetchone() is not None:
        assert time.monotonic() < deadline, "PostgreSQL did not end the session"


def test_every_session_lets_go_of_a_transaction_in_which_its_process_froze(session):
    shown = session.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    assert shown == (f"{db.IDLE_IN_TRANSACTION_S}s",)
    assert session.execute("SHOW tcp_user_timeout").fetchone() != ("0",)


def test_options_of_the_url_are_stronger_than_ours_but_not_than_the_role(database):
    url = f"{database}?options=-c%20idle_in_transaction_session_timeout%3D6s%20-c%20role%3Dnone"
    with contextlib.closing(db.connect(url)) as opened:
        shown = opened.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        assert (shown, opened.execute("SHOW role").fetchone()) == (("6s",), ("mailqueue_worker",))


def test_a_transaction_that_idled_too_long_is_a_lost_connection(database, session):
    with contextlib.closing(db.connect(database)) as frozen:
        with pytest.raises(db.CONNECTION_LOST) as caught, frozen.transaction():
            freeze_in_a_transaction(frozen, session)
        assert not isinstance(caught.value, psycopg.OperationalError)


def test_a_thread_gets_a_new_session_after_its_transaction_idled_too_long(database, session):
    lost = db.thread_session(database)
    with pytest.raises(db.CONNECTION_LOST), lost.transaction():
        freeze_in_a_transaction(lost, session)
    assert db.thread_session(database).execute("SELECT 1").fetchone() == (1,)


def test_a_tenants_transaction_copies_and_says_an_error_where_it_happens(session):
    with db.tenant_transaction(session, uuid.uuid4()):
        session.execute("CREATE TEMPORARY TABLE numbers (number int UNIQUE)")
        with session.cursor().copy("COPY numbers (number) FROM STDIN") as copy:
            copy.write_row((1,))
        with pytest.raises(psycopg.errors.UniqueViolation):
            session.execute("INSERT INTO numbers VALUES (1)")
