"""What most commands need: a session to the database, the app they work for, a password."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import psycopg

from app import log
from app.audit import Author
from app.config import settings
from app.db.session import CONNECTION_LOST, Session, connect
from app.errors import ConfigurationInvalid, DependencyUnavailable, InputInvalid
from app.secretbox import SecretBox
from app.tenancy import apps
from app.tenancy.apps import App

CLI = Author(name="cli")


@contextmanager
def database() -> Iterator[Session]:
    """Open a session for one command; raises DependencyUnavailable, or says when to migrate.

    The rooms log what they do; a person at the terminal reads the command's own sentences.
    """
    log.configure("warning", settings().log_format)
    session = connect(settings().database_url)
    try:
        yield session
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise ConfigurationInvalid(
            "The database is not up to date.",
            why=f"{error.diag.message_primary}.",
            fix="Run: mailqueue migrate",
        ) from error
    except CONNECTION_LOST as error:
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


def chosen_app(session: Session, name: str | None) -> App:
    """Return the app of that name, or the only one; raises NotFound, InputInvalid."""
    if name is not None:
        return apps.get_by_name(session, name)
    every = apps.list_all(session)
    if len(every) == 1:
        return every[0]
    if not every:
        raise InputInvalid(
            "There is no app yet.", fix="Make one: mailqueue app create NAME", field="app"
        )
    raise InputInvalid(
        "Which app?",
        why=f"There are {len(every)}: {', '.join(app.name for app in every[:10])}.",
        fix="Say --app NAME, or set MAILQUEUE_APP.",
        field="app",
    )


def secret_box() -> SecretBox:
    """Return the box that seals and opens secrets; raises ConfigurationInvalid."""
    return SecretBox.from_setting(settings().sealing_keys.get_secret_value())


def given_password(what: str, variable: str | None, *, is_asked: bool) -> str | None:
    """Return a password typed in, or read from an environment variable; None when neither is said.

    It is never an argument, which other users of the machine could read.
    """
    if is_asked:
        typed: str = click.prompt(what, hide_input=True, err=True)
        return typed
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise InputInvalid(
            f"The variable {variable} is empty.",
            why="--password-env names the environment variable that holds the password.",
            fix=f"Run: {variable}=... mailqueue ...",
            field="password-env",
        )
    return os.environ[variable]
