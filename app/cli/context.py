"""What most commands need: a session to the database, and the app they work for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import psycopg

from app.config import settings
from app.db.session import Session, connect
from app.errors import ConfigurationInvalid, DependencyUnavailable


@contextmanager
def database() -> Iterator[Session]:
    """Open a session for one command; raises DependencyUnavailable, or says when to migrate."""
    session = connect(settings().database_url)
    try:
        yield session
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise ConfigurationInvalid(
            "The database is not up to date.",
            why=f"{error.diag.message_primary}.",
            fix="Run: mailqueue migrate",
        ) from error
    except psycopg.OperationalError as error:
        raise DependencyUnavailable(
            "PostgreSQL went away in the middle of the command.",
            why=f"{str(error).strip().splitlines()[0]}.",
            fix="What was committed stays. Check the server (mailqueue doctor) and run it again.",
        ) from error
    finally:
        session.close()


def app_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--app NAME`; without it the command works for the only app there is."""
    return click.option(
        "--app",
        "app_name",
        metavar="NAME",
        envvar="MAILQUEUE_APP",
        help="The app (tenant); may be left out when there is exactly one.",
    )(command)
