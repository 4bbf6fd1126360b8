"""`mailqueue leads import`: recipients from a CSV file, all of them or none."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from app.campaigns.leads_import import ImportResult, LeadFile, import_csv
from app.cli.context import app_option, chosen_app, database
from app.cli.output import Group, printer
from app.config import settings
from app.errors import ConfigurationInvalid
from app.tenancy import companies


@click.group(cls=Group)
def leads() -> None:
    """Recipients."""


@leads.command("import")
@app_option
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where rejected rows go; by default beside the file.",
)
@click.option("--company", help="Put the leads under this company of the app.")
def import_(app_name: str | None, path: Path, rejects: Path | None, company: str | None) -> None:
    """Import the CSV file PATH: a column `email`, optionally `timezone`; others are variables.

    Rows that are invalid, double or suppressed are counted and written to the rejects file. A
    second run adds nothing. A file that cannot be read imports nothing and names its line.
    """
    with database() as session, printer().progress(path.name, "rows") as advance:
        app = chosen_app(session, app_name)
        company_id = companies.get_by_name(session, app.id, company).id if company else None
        file = LeadFile(
            path=path,
            pepper=_pepper(),
            rejects_path=rejects,
            company_id=company_id,
        )
        size = max(path.stat().st_size, 1) if path.is_file() else 1
        done = import_csv(
            session, app.id, file, lambda rows, read: advance(rows, min(read / size, 1.0))
        )
        advance(done.rows, 1.0)
    printer().show(facts_of(done), _rendered)


def _pepper() -> str:
    """Return the key of address hashes; raises ConfigurationInvalid when there is none."""
    pepper = settings().address_pepper.get_secret_value()
    if pepper:
        return pepper
    raise ConfigurationInvalid(
        "There is no pepper for the hashes of addresses.",
        why="Suppression would never find leads that were hashed without it.",
        fix="Run this where your .env is (mailqueue init), or set MAILQUEUE_ADDRESS_PEPPER.",
        field="MAILQUEUE_ADDRESS_PEPPER",
    )


def facts_of(done: ImportResult) -> dict[str, Any]:
    """Return what an import did."""
    return {
        "rows": done.rows,
        "added": done.added,
        "duplicates": done.duplicates,
        "invalid": done.invalid,
        "suppressed": done.suppressed,
        "seconds": round(done.seconds, 3),
        "rows_per_second": round(done.rows / done.seconds) if done.seconds else None,
        "rejects_file": os.fspath(done.rejects_path) if done.rejects_path else None,
    }


def _rendered(done: Mapping[str, Any]) -> Text:
    text = Text(f"{done['rows']:,} rows: {done['added']:,} added, ")
    text.append(f"{done['duplicates']:,} duplicate, {done['invalid']:,} invalid, ")
    text.append(f"{done['suppressed']:,} suppressed, in {done['seconds']:.1f} s.")
    if done["rejects_file"]:
        text.append(f"\nThe rows that were not added, with reasons: {done['rejects_file']}")
    return text
