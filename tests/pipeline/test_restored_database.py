"""After a restore or a clone nothing is sent until a person confirms."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from app.audit import Author
from app.config import Settings
from app.db import session as db
from app.db.session import Session
from app.errors import Conflict
from app.inbox import Inbox
from app.lifecycle import epoch as epochs
from app.policy.mirrors import DiskMirror, RedisMirror
from app.scheduling.quarantine import Guard
from tests import stack
from tests.factories import make_email

OPERATOR = Author(name="test")


@pytest.fixture
def guard(configured: Settings) -> Iterator[Guard]:
    """A process that knows nothing but what its host and Redis remember."""
    disk = DiskMirror(configured.state_dir / "epoch")
    made = Guard((disk, RedisMirror(configured.redis_url)))
    yield made
    made.close()


@contextlib.contextmanager
def backup_of(url: str, maintenance: psycopg.Connection) -> Iterator[Session]:
    """A copy of the database at `url` as it is now, under another name on the same server."""
    for_copy = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
    name = stack.name_of(url)
    db.close_thread_session()
    maintenance.execute(for_copy.format(name))
    with (
        stack.cloned(url, maintenance, name) as copy,
        contextlib.closing(db.connect(copy)) as opened,
    ):
        yield opened


def states(session: Session) -> dict[str, int]:
    rows = session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall()
    return {row[0]: row[1] for row in rows}


def rewind(session: Session, ids: list[UUID], counter: int) -> None:
    """Make the rows what a dump taken before the release says."""
    session.execute(
        "UPDATE emails SET status = 'scheduled', due_at = now(), sent_at = NULL, attempt = 0 "
        "WHERE id = ANY(%s)",
        (ids,),
    )
    session.execute("DELETE FROM released_chunks")
    session.execute("UPDATE send_epoch SET counter = %s", (counter,))


def test_a_restored_database_sends_nothing_until_it_is_confirmed(
    session: Session,
    make_sender: Callable[..., Any],
    run_pass: Callable[[], Any],
    fleet: Any,
    inbox: Inbox,
    until: Callable[..., None],
) -> None:
    sender = make_sender()
    ids = [make_email(session, sender.app_id, **sender.fields) for _ in range(3)]
    fleet.start()
    run_pass()
    until(lambda: states(session) == {"sent": 3})
    rewind(session, ids, 0)

    refused = run_pass()
    assert (refused.planned, refused.released) == (0, 0)
    assert states(session) == {"scheduled": 3}
    epoch = epochs.read(session)
    assert epoch is not None
    assert "behind what" in (epoch.reason or "")
    assert len(list(inbox.messages())) == 3

    epochs.confirm(session, OPERATOR, "the mails after the backup were never sent")
    assert run_pass().released == 3
    until(lambda: states(session) == {"sent": 3})
    assert len(list(inbox.messages())) == 6


def test_a_message_on_its_way_to_a_restored_database_is_not_sent(
    session: Session,
    make_sender: Callable[..., Any],
    run_pass: Callable[[], Any],
    fleet: Any,
    inbox: Inbox,
    until: Callable[..., None],
) -> None:
    sender = make_sender()
    make_email(session, sender.app_id, **sender.fields)
    run_pass()
    session.execute("UPDATE send_epoch SET counter = 0")  # released, then restored
    fleet.start()
    until(lambda: states(session) == {"scheduled": 1})
    assert list(inbox.messages()) == []
    (reason,) = session.execute("SELECT reason FROM emails").fetchall()[0]
    assert "quarantined" in reason


def test_a_clone_sends_nothing_and_the_original_goes_on(
    session: Session,
    database: str,
    maintenance: psycopg.Connection,
    guard: Guard,
) -> None:
    assert guard.look(session) is None
    epochs.advance(session)
    session.close()
    with backup_of(database, maintenance) as clone:
        assert "cloned" in (guard.look(clone) or "")
        assert "cloned" in (guard.look(clone) or "")
        with contextlib.closing(db.connect(database)) as original:
            assert guard.look(original) is None
            epochs.advance(original)
            guard.look(original)
            epochs.confirm(clone, OPERATOR, "this is the new host")
            assert guard.look(clone) is None
            assert guard.look(original) is None


def test_a_database_that_never_sent_is_not_quarantined(
    session: Session, database: str, maintenance: psycopg.Connection, guard: Guard
) -> None:
    session.close()
    with backup_of(database, maintenance) as clone:
        assert guard.look(clone) is None
        assert guard.look(clone) is None


@pytest.mark.parametrize("kept", ["disk", "redis"])
def test_one_memory_is_enough(session: Session, configured: Settings, guard: Guard, kept: str):
    guard.look(session)
    for _ in range(5):
        guard.remember(epochs.advance(session))
    only = {
        "disk": DiskMirror(configured.state_dir / "epoch"),
        "redis": RedisMirror(configured.redis_url),
    }[kept]
    session.execute("UPDATE send_epoch SET counter = 2")
    with contextlib.closing(Guard((only,))) as fresh:
        why = fresh.look(session)
    assert why is not None
    assert why.startswith("This database is 3 releases behind what")


def test_a_mirror_that_is_away_keeps_nobody_from_sending(session: Session) -> None:
    with contextlib.closing(Guard((RedisMirror("redis://127.0.0.1:1/0"),))) as lonely:
        assert lonely.look(session) is None
        lonely.remember(epochs.advance(session))
        assert lonely.look(session) is None


def test_releases_of_other_processes_are_no_restore(session: Session, guard: Guard) -> None:
    guard.look(session)
    for _ in range(3):
        mark = epochs.advance(session)
        guard.remember(mark)
        assert guard.look(session) is None


def test_a_memory_never_goes_back(session: Session, guard: Guard, configured: Settings) -> None:
    guard.look(session)
    marks = [epochs.advance(session) for _ in range(3)]
    for mark in reversed(marks):
        guard.remember(mark)
    lineage = marks[0].lineage if marks[0] else UUID(int=0)
    assert DiskMirror(configured.state_dir / "epoch").remembered(lineage) == 3
    with contextlib.closing(RedisMirror(configured.redis_url)) as told:
        assert told.remembered(lineage) == 3


def test_only_a_quarantine_can_be_confirmed_and_that_is_audited(
    session: Session, guard: Guard
) -> None:
    guard.look(session)
    with pytest.raises(Conflict):
        epochs.confirm(session, OPERATOR, "for nothing")
    session.execute("UPDATE send_epoch SET home = 'elsewhere'")
    guard.look(session)
    epochs.confirm(session, OPERATOR, "moved to the new server")
    ((actor, after),) = session.execute(
        "SELECT actor, after FROM audit_logs WHERE action = 'sending.confirmed'"
    ).fetchall()
    assert (actor, after) == ("test", {"note": "moved to the new server"})
