"""The API's role sees one app and nothing else, whatever a query forgets (TRUST.md)."""

from uuid import UUID

import psycopg
import pytest

from app.db.session import Session, tenant_transaction
from app.ids import new_id
from app.privacy import address_hash
from app.tables import metadata
from tests import factories

UNPROTECTED = """
SELECT relname FROM pg_class
WHERE relname = ANY(%s) AND relnamespace = 'public'::regnamespace
  AND NOT (relrowsecurity AND relforcerowsecurity
           AND (SELECT count(*) FROM pg_policy WHERE polrelid = pg_class.oid) >= 2)"""
READABLE = (
    "apps",
    "audit_logs",
    "campaigns",
    "email_accounts",
    "emails",
    "inbox_message_refs",
    "leads",
    "queues",
    "suppression_list",
)
NOBODY: frozenset[UUID | None] = frozenset()


@pytest.fixture
def mine(session: Session) -> UUID:
    return furnished(session)


@pytest.fixture
def theirs(session: Session) -> UUID:
    return furnished(session)


def furnished(session: Session) -> UUID:
    app = factories.make_app(session)
    factories.make_lead(session, app.id)
    factories.make_email(session, app.id)
    factories.make_campaign(session, app.id)
    suppress(session, app.id)
    return app.id


def suppress(session: Session, app_id: UUID | None) -> None:
    email_hash = address_hash(f"{app_id}@example.com", factories.PEPPER)
    row = {"id": new_id(), "app_id": app_id, "email_hash": email_hash, "reason": "manual"}
    factories.insert(session, "suppression_list", row)


def apps_seen(session: Session, table: str) -> frozenset[UUID | None]:
    column = "id" if table == "apps" else "app_id"
    return frozenset(app_id for (app_id,) in session.execute(f"SELECT {column} FROM {table}"))


def apps_seen_everywhere(session: Session) -> dict[str, frozenset[UUID | None]]:
    return {table: apps_seen(session, table) for table in READABLE}


def test_every_table_of_a_tenant_is_confined_also_for_its_owner(session: Session):
    tenants = [table.name for table in metadata.sorted_tables if "app_id" in table.columns]
    assert session.execute(UNPROTECTED, (["apps", *tenants],)).fetchall() == []


def test_the_api_sees_only_its_app(session: Session, mine: UUID, theirs: UUID):
    assert apps_seen_everywhere(session) == dict.fromkeys(READABLE, frozenset({mine, theirs}))
    with tenant_transaction(session, mine):
        assert apps_seen_everywhere(session) == dict.fromkeys(READABLE, frozenset({mine}))


@pytest.mark.usefixtures("mine")
def test_without_an_app_the_api_sees_nothing(session: Session):
    suppress(session, None)
    with session.transaction():
        session.execute("SET LOCAL ROLE mailqueue_api")
        assert apps_seen_everywhere(session) == dict.fromkeys(READABLE, NOBODY)


def test_after_a_tenants_transaction_the_api_sees_nothing_again(session: Session, mine: UUID):
    suppress(session, None)
    with tenant_transaction(session, mine):
        pass  # leaves the setting behind as ''
    with session.transaction():
        session.execute("SET LOCAL ROLE mailqueue_api")
        assert apps_seen_everywhere(session) == dict.fromkeys(READABLE, NOBODY)


def test_the_api_cannot_insert_for_another_app(session: Session, mine: UUID, theirs: UUID):
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        tenant_transaction(session, mine),
    ):
        factories.make_lead(session, theirs)


def test_the_api_cannot_give_a_row_away(session: Session, mine: UUID, theirs: UUID):
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        tenant_transaction(session, mine),
    ):
        session.execute("UPDATE leads SET app_id = %s", (theirs,))


def test_the_api_cannot_change_or_delete_anothers_rows(session: Session, mine: UUID, theirs: UUID):
    with tenant_transaction(session, mine):
        changed = session.execute("UPDATE leads SET status = 'bounced' WHERE app_id = %s", [theirs])
        deleted = session.execute("DELETE FROM leads WHERE app_id = %s", [theirs])
    assert (changed.rowcount, deleted.rowcount) == (0, 0)


def test_the_api_reads_global_suppressions_and_leaves_them(session: Session, mine: UUID):
    suppress(session, None)
    with tenant_transaction(session, mine):
        seen = apps_seen(session, "suppression_list")
        changed = session.execute("UPDATE suppression_list SET reason = 'complaint'")
        deleted = session.execute("DELETE FROM suppression_list WHERE app_id IS NULL")
    assert seen == {mine, None}
    assert (changed.rowcount, deleted.rowcount) == (1, 0)


def test_the_api_cannot_suppress_for_every_app(session: Session, mine: UUID):
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        tenant_transaction(session, mine),
    ):
        suppress(session, None)


@pytest.mark.parametrize("statement", ["INSERT INTO apps VALUES (DEFAULT)", "DELETE FROM apps"])
def test_the_api_makes_and_deletes_no_apps(session: Session, mine: UUID, statement: str):
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        tenant_transaction(session, mine),
    ):
        session.execute(statement)


def test_a_partition_cannot_be_read_around_its_parent(session: Session, mine: UUID):
    ((partition,),) = session.execute(
        "SELECT tableoid::regclass::text FROM emails WHERE app_id = %s", (mine,)
    ).fetchall()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute(f"SELECT FROM {partition}")
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        tenant_transaction(session, mine),
    ):
        session.execute(f"SELECT FROM {partition}")


def test_the_tenants_index_is_still_used(session: Session, mine: UUID):
    with tenant_transaction(session, mine):
        session.execute("SET LOCAL enable_seqscan = off")
        plan = session.execute("EXPLAIN SELECT FROM leads WHERE email = 'a@example.com'")
        text = "\n".join(line for (line,) in plan)
    assert "leads_app_id_email_key" in text
    assert "app_id = " in text.partition("Index Cond")[2].splitlines()[0]
