"""`mailqueue migrate`: bring the database to the revision of this program, or back."""

from typing import Any

import click
from rich.text import Text

from app.cli.context import database
from app.cli.output import Command, printer
from app.clock import utc_now
from app.config import settings
from app.db import migrate as migrations
from app.db.partitions import create_ahead
from app.errors import ConfigurationInvalid


@click.command(cls=Command)
@click.option("--down", "revision", metavar="REV", help="Undo down to this revision, or base.")
@click.option("--check", "is_check", is_flag=True, help="Change nothing; 1 when not up to date.")
def migrate(revision: str | None, is_check: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Apply every revision that is missing, and make the coming months' partitions."""
    dsn = settings().database_url
    before = migrations.current(dsn)
    if is_check:
        _require_current(before)
    elif revision is not None:
        migrations.downgrade(dsn, revision)
    else:
        migrations.upgrade(dsn)
        with database() as session:
            create_ahead(session, utc_now())
    result = {"before": before, "now": migrations.current(dsn), "newest": migrations.head()}
    printer().show(result, _rendered)


def _require_current(before: str | None) -> None:
    if before != migrations.head():
        raise ConfigurationInvalid(
            "The database is not up to date.",
            why=f"It is at {before or 'no revision'}, this program needs {migrations.head()}.",
            fix="Run: mailqueue migrate",
        )


def _rendered(result: dict[str, Any]) -> Text:
    now = result["now"] or "no revision"
    if result["before"] == result["now"]:
        return Text(f"Nothing to do: the database is at {now}.")
    return Text(f"The database went from {result['before'] or 'no revision'} to {now}.")
