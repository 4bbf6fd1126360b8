"""`mailqueue ledger`: planned = sent + failed + suppressed + cancelled + expired + unknown + waiting."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import click
from rich.console import RenderableType
from rich.table import Table

from app.campaigns import campaigns
from app.cli.context import app_option, chosen_app, database
from app.cli.output import Command, printer
from app.errors import LedgerOff
from app.lifecycle import ledger as books
from app.lifecycle.ledger import Ledger
from app.metrics import LEDGER_OFF

_COLUMNS = (
    "planned",
    "sent",
    "failed",
    "suppressed",
    "cancelled",
    "expired",
    "unknown",
    "waiting",
    "off_by",
)


@click.command(cls=Command)
@app_option
@click.option("--campaign", "name", metavar="NAME", help="Only this campaign.")
def ledger(app_name: str | None, name: str | None) -> None:
    """Balance what was planned with what became of it; 4 when it does not add up."""
    with database() as session:
        app = chosen_app(session, app_name)
        if name is None:
            found, of = books.of_app(session, app.id), f"app {app.name}"
        else:
            campaign = campaigns.get(session, app.id, name)
            found, of = books.of_campaign(session, campaign.id), f"campaign {campaign.name}"
    result = facts_of(found) | {"of": of}
    printer().show(result, balance)
    require_balance(found, of)


def facts_of(found: Ledger) -> dict[str, Any]:
    """Return the balance with its difference."""
    return dataclasses.asdict(found) | {"off_by": found.off_by}


def balance(result: Mapping[str, Any]) -> RenderableType:
    """Return the balance as one line of a book."""
    made = Table(title=f"Ledger of {result['of']}", title_justify="left", box=None, pad_edge=False)
    for column in _COLUMNS:
        made.add_column(column.replace("_", " "), justify="right")
    made.add_row(*(f"{result[column]:,}" for column in _COLUMNS))
    return made


def require_balance(found: Ledger, of: str) -> None:
    """Raise LedgerOff when the books do not add up."""
    LEDGER_OFF.set(found.off_by)
    if found.off_by:
        raise LedgerOff(
            f"The ledger of {of} is off by {found.off_by:,}.",
            why="Planned is counted where mail is asked for, the rest where it is handled.",
            fix="Keep the database as it is and report this: no mail may be unaccounted.",
        )
