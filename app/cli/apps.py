"""`mailqueue app`: tenants."""

from collections.abc import Sequence
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from app.cli.context import CLI, database
from app.cli.output import Group, printer, table
from app.tenancy import apps
from app.tenancy.apps import App


@click.group("app", cls=Group)
def app_() -> None:
    """Tenants: each has its own accounts, leads, campaigns and books."""


@app_.command()
@click.argument("name")
def create(name: str) -> None:
    """Create an app with a queue called default."""
    with database() as session:
        made = apps.create(session, name, CLI)
    printer().show(
        facts_of(made), lambda app: Text(f"Created the app {app['name']}, with a default queue.")
    )


@app_.command("list")
def list_() -> None:
    """List the apps."""
    with database() as session:
        found = [facts_of(app) for app in apps.list_all(session)]
    printer().show(found, _listed)


def facts_of(app: App) -> dict[str, Any]:
    """Return what is shown of an app."""
    return {
        "id": str(app.id),
        "name": app.name,
        "status": app.status,
        "created_at": app.created_at.isoformat(),
    }


def _listed(found: Sequence[dict[str, Any]]) -> RenderableType:
    if not found:
        return Text("There is no app yet. Make one: mailqueue app create NAME")
    listed = table("", "name", "status", "created", "id")
    for app in found:
        listed.add_row(app["name"], app["status"], app["created_at"][:16], app["id"])
    return listed
