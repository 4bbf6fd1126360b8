"""The migrations make exactly the tables that app/tables declares, and can be undone."""

import concurrent.futures
import contextlib
import datetime as dt
import secrets
from collections.abc import Iterator

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.clock import utc_now
from app.db import migrate
from app.db.partitions import create_ahead, is_partition
from app.db.session import Session, connect
from app.errors import ConfigurationInvalid, DependencyUnavailable
from app.lifecycle.states import State
from app.tables import metadata
from app.tables.emails import EMAIL_STATES
from tests import factories

# Names, columns and definitions as PostgreSQL understood them, partitions left out.
SHAPE = r"""
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
       concat_ws(' ', a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND a.attnum > 0 AND NOT a.attisdropped AND NOT c.relispartition
UNION ALL
SELECT 'constraint', c.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
UNION ALL
SELECT 'index', tablename, indexname, '', indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename !~ '_\d{4}_\d{2}$'
UNION ALL
SELECT 'options', relname, relkind::text, '', concat(reloptions, pg_get_partkeydef(oid))
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
"""


@pytest.fixture
def owned_database(maintenance: psycopg.Connection) -> Iterator[tuple[str, str]]:
    """The URL of a database whose owner is nothing more than that, and the owner's name."""
    name = f"mailqueue_test_{secrets.token_hex(8)}"
    maintenance.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'loopback-only'")
    maintenance.execute(f"CREATE DATABASE {name} OWNER {name}")
    server = maintenance.info
    yield f"postgresql://{name}:loopback-only@{server.host}:{server.port}/{name}", name
    maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")
    maintenance.execute(f"DROP ROLE {name}")


def shape_of(url: str) -> set[tuple[str, ...]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(SHAPE).fetchall()
    return {row for row in rows if row[1] != "alembic_version"}


def tables_of(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        return [name for (name,) in connection.execute(query)]


def test_alembic_finds_no_difference_to_the_declared_tables(database: str):
    options = {
        "include_name": lambda name, kind, _: not (kind == "table" and is_partition(name)),
        "compare_server_default": True,
    }
    with migrate.engine(database).connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, metadata)
    assert differences == []


def test_constraints_and_options_are_the_declared_ones(database: str, empty_database: str):
    metadata.create_all(migrate.engine(empty_database))
    assert shape_of(database) == shape_of(empty_database)


def test_going_down_leaves_nothing_and_up_again_makes_the_same(empty_database: str):
    migrate.upgrade(empty_database)
    first = shape_of(empty_database)
    migrate.downgrade(empty_database, "base")
    left = tables_of(empty_database)
    migrate.upgrade(empty_database)
    assert sorted(left) == ["alembic_version", "alembic_version_pkc"]
    assert shape_of(empty_database) == first


def test_each_step_down_can_be_taken_alone(empty_database: str):
    migrate.upgrade(empty_database)
    while (revision := migrate.current(empty_database)) is not None:
        migrate.downgrade(empty_database, "-1")
        assert migrate.current(empty_database) != revision


def test_a_second_upgrade_changes_nothing(database: str):
    migrate.upgrade(database)
    assert migrate.current(database) == migrate.head()


def test_two_upgrades_at_once_both_succeed(empty_database: str):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(migrate.upgrade, empty_database) for _ in range(2)]
    assert [run.result() for run in runs] == [None, None]
    assert migrate.current(empty_database) == migrate.head()


def test_an_empty_database_is_not_current(empty_database: str):
    with contextlib.closing(connect(empty_database)) as session:
        assert not migrate.is_current(session)


def test_an_owner_without_the_roles_is_told_what_to_do(owned_database: tuple[str, str]):
    url, _ = owned_database
    with pytest.raises(ConfigurationInvalid, match="GRANT mailqueue_api TO"):
        migrate.upgrade(url)


def test_a_user_that_may_not_be_a_worker_is_told_to_migrate(owned_database: tuple[str, str]):
    url, _ = owned_database
    with pytest.raises(ConfigurationInvalid, match="Run: mailqueue migrate"):
        connect(url)


def test_the_owner_needs_no_superuser(
    owned_database: tuple[str, str], maintenance: psycopg.Connection
):
    url, owner = owned_database
    maintenance.execute(f"GRANT mailqueue_api, mailqueue_worker TO {owner}")
    migrate.upgrade(url)
    with contextlib.closing(connect(url)) as session:
        factories.make_app(session)
        later = utc_now() + dt.timedelta(days=400)
        assert create_ahead(session, later)
        assert migrate.is_current(session)


def test_an_absent_server_is_a_dependency_that_is_away():
    with pytest.raises(DependencyUnavailable):
        migrate.upgrade("postgresql://nobody:x@127.0.0.1:1/none")


def test_the_states_in_the_database_are_the_states_of_the_lifecycle():
    assert set(EMAIL_STATES) == set(State)


def test_an_app_can_be_deleted_with_all_it_has(session: Session):
    app = factories.make_app(session)
    campaign = factories.make_campaign(session, app.id)
    factories.make_step(session, campaign)
    session.execute("DELETE FROM apps WHERE id = %s", (app.id,))
    assert session.execute("SELECT count(*) FROM campaigns").fetchone() == (0,)


def test_an_account_in_use_cannot_be_deleted(session: Session):
    app = factories.make_app(session)
    factories.make_campaign(session, app.id)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        session.execute("DELETE FROM email_accounts")
