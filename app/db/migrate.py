"""Bring the database to the revision this code was written for (`mailqueue migrate`).

Revisions run in one transaction, under an advisory lock: the second of two processes waits, then
finds nothing to do. They run as the login role, which owns everything they create.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.db.session import Session, one
from app.errors import ConfigurationInvalid, DependencyUnavailable

SCRIPTS = Path(__file__).parents[2] / "migrations"

_LOCK = "SELECT pg_advisory_lock(hashtext('mailqueue migrate'))"


def engine(dsn: str) -> sa.Engine:
    """Return an engine without a pool for `dsn`, with the rights of the login role."""
    url = sa.make_url(dsn).set(drivername="postgresql+psycopg")
    return sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": 10})


def upgrade(dsn: str, revision: str = "head") -> None:
    """Apply every revision up to `revision`; nothing happens when it is applied already.

    Raises DependencyUnavailable, and ConfigurationInvalid when the login role may not do it.
    """
    with _locked(dsn) as config:
        command.upgrade(config, revision)


def downgrade(dsn: str, revision: str) -> None:
    """Undo revisions down to `revision`, or "base": tables go with all that is in them."""
    with _locked(dsn) as config:
        command.downgrade(config, revision)


def current(dsn: str) -> str | None:
    """Return the revision of the database, None before the first one."""
    with _connected(dsn) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str | None:
    """Return the newest revision this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def is_current(session: Session) -> bool:
    """Tell whether the session's database is at the newest revision."""
    row = one(session, "SELECT to_regclass('alembic_version') IS NOT NULL")
    if row is None or not row[0]:
        return False
    return one(session, "SELECT version_num FROM alembic_version") == (head(),)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


@contextmanager
def _locked(dsn: str) -> Iterator[Config]:
    with _connected(dsn) as connection:
        connection.execute(sa.text(_LOCK))
        connection.commit()  # the lock is the session's: it goes when the connection closes
        config = _config()
        config.attributes["connection"] = connection
        yield config


@contextmanager
def _connected(dsn: str) -> Iterator[sa.Connection]:
    try:
        with engine(dsn).connect() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise _explained(error) from error


def _explained(error: sa.exc.DBAPIError) -> Exception:
    cause = error.orig
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return ConfigurationInvalid(
            "The database cannot be migrated by this user.",
            why=cause.diag.message_primary or "",
            fix=cause.diag.message_hint or "Let the user in DATABASE_URL own the database.",
            field="DATABASE_URL",
        )
    if isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None:
        return DependencyUnavailable(
            "PostgreSQL cannot be reached.",
            why=str(cause).strip().splitlines()[-1] + ".",
            fix="Check DATABASE_URL and that the server runs (`mailqueue doctor`).",
        )
    return error
