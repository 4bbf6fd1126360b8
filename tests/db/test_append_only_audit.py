"""What was audited stays, whoever asks."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from app.audit import MASK, AuditEntry, Author, record
from app.db.session import Session, connect
from app.ids import new_id
from tests import factories


@pytest.fixture
def owner(database: str) -> Iterator[Session]:
    """A session with every right there is."""
    with contextlib.closing(connect(database, role=None)) as opened:
        factories.make_app(opened)
        yield opened


@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET actor = 'x'", "DELETE FROM {}", "TRUNCATE {}"],
)
def test_the_log_is_not_changed(owner: Session, statement: str):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner.execute(statement.format("audit_logs"))


@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET actor = 'x'", "DELETE FROM {}", "TRUNCATE {}"],
)
def test_a_partition_of_the_log_is_not_changed(owner: Session, statement: str):
    query = "SELECT DISTINCT tableoid::regclass::text FROM audit_logs"
    ((partition,),) = owner.execute(query).fetchall()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner.execute(statement.format(partition))


def test_workers_have_no_right_to_try(session: Session):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        session.execute("DELETE FROM audit_logs")


def test_secrets_are_masked_and_the_rest_is_kept(session: Session):
    change = {"password": "canary", "host": "a.example", "login": {"api_key": "canary"}}
    entry = AuditEntry(
        app_id=new_id(),
        author=Author(name="user:1", origin="192.0.2.1"),
        action="smtp_config.changed",
        target_kind="smtp_config",
        target_id=new_id(),
        before={"password": None},
        after=change,
    )
    record(session, entry)
    query = "SELECT actor, origin, before, after FROM audit_logs"
    assert session.execute(query).fetchall() == [
        (
            "user:1",
            "192.0.2.1",
            {"password": None},
            {"password": MASK, "host": "a.example", "login": {"api_key": MASK}},
        )
    ]
