"""`mailqueue user`: people who may sign in."""

import os
from collections.abc import Sequence
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from app.cli.context import CLI, database
from app.cli.output import Group, printer, table
from app.db.session import Session
from app.errors import InputInvalid, NotFound
from app.tenancy import apps, users
from app.tenancy.scopes import Role
from app.tenancy.users import NewUser, User

_MOST = 1_000


@click.group(cls=Group)
def user() -> None:
    """People: each signs in with a password, and works for one app or, as super_admin, for all."""


@user.command()
@click.argument("email")
@click.option("--name", default="", help="The person's name.")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--app", "app_name", metavar="NAME", help="Whose person; not for a super_admin.")
@click.option("--password-env", metavar="VARIABLE", help="Read the password from this variable.")
def create(
    email: str, name: str, role: str, app_name: str | None, password_env: str | None
) -> None:
    """Create a person; without --password-env the password is asked for."""
    password = _password(password_env)
    with database() as session:
        app_id = None if app_name is None else apps.get_by_name(session, app_name).id
        new = NewUser(email=email, name=name, role=Role(role), app_id=app_id, password=password)
        made = users.create(session, new, CLI)
    printer().show(
        facts_of(made), lambda found: Text(f"Created {found['email']}, {found['role']}.")
    )


@user.command("list")
def list_() -> None:
    """List the people."""
    with database() as session:
        found = [facts_of(one) for one in users.list_page(session, None, limit=_MOST)]
    printer().show(found, _listed)


@user.command()
@click.argument("email")
def disable(email: str) -> None:
    """Let a person in no more; their tokens end within seconds."""
    with database() as session:
        changed = users.update(session, _named(session, email), CLI, is_disabled=True)
    printer().show(facts_of(changed), lambda found: Text(f"{found['email']} is disabled."))


@user.command()
@click.argument("email")
@click.option("--password-env", metavar="VARIABLE", help="Read the password from this variable.")
def password(email: str, password_env: str | None) -> None:
    """Give a person another password; their tokens end within seconds."""
    new = _password(password_env)
    with database() as session:
        changed = users.set_password(session, _named(session, email).id, new, CLI)
    printer().show(facts_of(changed), lambda found: Text(f"{found['email']} has a new password."))


def _named(session: Session, email: str) -> User:
    found = users.find_by_email(session, email)
    if found is None:
        raise NotFound(f"There is no person {email!r}.", fix="See: mailqueue user list")
    return found


def _password(variable: str | None) -> str:
    """Return the password; never an argument, which other users of the machine could read."""
    if variable is None:
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    if not os.environ.get(variable):
        raise InputInvalid(
            f"The variable {variable} is empty.",
            why="--password-env names the environment variable that holds the password.",
            field="password-env",
        )
    return os.environ[variable]


def facts_of(found: User) -> dict[str, Any]:
    """Return what is shown of a person."""
    return {
        "id": str(found.id),
        "email": found.email,
        "name": found.name,
        "role": found.role,
        "app_id": None if found.app_id is None else str(found.app_id),
        "is_disabled": found.disabled_at is not None,
        "last_login_at": found.last_login_at and found.last_login_at.isoformat(),
    }


def _listed(found: Sequence[dict[str, Any]]) -> RenderableType:
    if not found:
        return Text("There is nobody yet: mailqueue user create EMAIL --role super_admin")
    listed = table("", "email", "role", "name", "last login", "")
    for one in found:
        state = "disabled" if one["is_disabled"] else ""
        last = (one["last_login_at"] or "-")[:16]
        listed.add_row(one["email"], one["role"], one["name"], last, state)
    return listed
