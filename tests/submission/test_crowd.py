"""Submissions that meet share a commit, and one that is refused stops nobody else."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from app.db.session import Session, close_thread_session, connect, thread_session
from app.errors import InputInvalid
from app.submission.accept import Accepted, Submission
from app.submission.crowd import Crowd
from app.submission.schemas import Email
from tests.factories import make_account
from tests.submission.conftest import DESK, MAIL

DEADLINE_S = 60.0


@pytest.fixture
def crowd(database: str) -> Crowd:
    return Crowd(lambda: thread_session(database), DESK)


@pytest.fixture
def submit(
    crowd: Crowd, session: Session, app_id, who
) -> Iterator[Callable[..., Future[Accepted]]]:
    """Submits an e-mail in a thread of its own."""
    make_account(session, app_id, address="sender@example.org")

    def take(fields: dict[str, Any]) -> Accepted:
        try:
            return crowd.take(Submission(who=who(), order=Email.model_validate(MAIL | fields)))
        finally:
            close_thread_session()

    with ThreadPoolExecutor(16) as pool:
        yield lambda **fields: pool.submit(take, fields)


@pytest.fixture
def operator(database: str) -> Iterator[Session]:
    """A session that sees what the others do."""
    with connect(database, role=None) as opened:
        yield opened


@contextmanager
def nobody_stores(database: str) -> Iterator[None]:
    """Keep everybody from storing a message for the time of the block."""
    with connect(database, role=None) as blocker, blocker.transaction():
        blocker.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        blocker.execute("LOCK TABLE messages IN EXCLUSIVE MODE")
        yield


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def is_blocked(operator: Session) -> bool:
    query = """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    return operator.execute(query).fetchone() == (1,)


def waiting(crowd: Crowd) -> int:
    return sum(map(len, crowd._waiting.values()))


def met(
    crowd: Crowd, operator: Session, database: str, submit: Any, *others: dict[str, Any]
) -> Any:
    """Submit one, and `others` while it is being stored; return the first future and theirs."""
    with nobody_stores(database):
        first = submit(to="first@example.com")
        wait_until(lambda: is_blocked(operator))
        rest = [submit(**fields) for fields in others]
        wait_until(lambda: waiting(crowd) == len(others))
    return first, rest


def test_what_comes_while_one_is_stored_shares_the_next_commit(
    crowd, session, operator, database, submit
):
    mails = [{"to": f"p{n}@example.com", "subject": f"Hello {n}"} for n in range(8)]

    first, rest = met(crowd, operator, database, submit, *mails)

    answers = [first.result(DEADLINE_S), *(one.result(DEADLINE_S) for one in rest)]
    found = dict(session.execute("SELECT id, to_email FROM emails").fetchall())
    assert [found[answer.id] for answer in answers] == [
        "first@example.com",
        *(mail["to"] for mail in mails),
    ]
    commits = session.execute("SELECT count(DISTINCT xmin::text) FROM messages").fetchone()
    assert commits == (2,)


def test_each_mail_of_a_shared_commit_has_its_own_content(
    crowd, session, operator, database, submit
):
    mails = [
        {"to": f"p{n}@example.com", "subject": f"S{n % 3}", "tags": [f"t{n}"]} for n in range(6)
    ]

    _, rest = met(crowd, operator, database, submit, *mails)

    for mail, one in zip(mails, rest, strict=True):
        row = session.execute(
            "SELECT v.subject, m.tags, e.to_email FROM messages m JOIN emails e ON e.id = m.id "
            "JOIN template_versions v ON v.id = m.template_version_id WHERE m.id = %s",
            (one.result(DEADLINE_S).id,),
        ).fetchone()
        assert row == (mail["subject"], mail["tags"], mail["to"])


def test_one_that_is_refused_stops_nobody_else(crowd, session, operator, database, submit):
    mails = [{"to": "a@example.com"}, {"queue": "nowhere"}, {"to": "b@example.com"}]

    first, (good, refused, other) = met(crowd, operator, database, submit, *mails)

    with pytest.raises(InputInvalid, match="no queue"):
        refused.result(DEADLINE_S)
    ids = {one.result(DEADLINE_S).id for one in (first, good, other)}
    assert {row[0] for row in session.execute("SELECT id FROM emails").fetchall()} == ids


def test_a_lost_connection_is_told_to_all_who_shared_it(crowd, session, operator, database, submit):
    kill = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    with nobody_stores(database):
        first = submit(to="first@example.com")
        wait_until(lambda: is_blocked(operator))
        rest = [submit(to=f"p{n}@example.com") for n in range(3)]
        wait_until(lambda: waiting(crowd) == len(rest))
        operator.execute(kill)
        with pytest.raises(psycopg.OperationalError):
            first.result(DEADLINE_S)
        wait_until(lambda: is_blocked(operator))
        operator.execute(kill)
        for one in rest:
            with pytest.raises(psycopg.OperationalError):
                one.result(DEADLINE_S)
    assert session.execute("SELECT count(*) FROM emails").fetchone() == (0,)
    assert submit().result(DEADLINE_S)
