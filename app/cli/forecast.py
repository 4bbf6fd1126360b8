"""`mailqueue forecast`: when a campaign's mails go, which limit binds when, when it ends."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from app.campaigns import campaigns, outlook
from app.cli.context import app_option, chosen_app, database
from app.cli.output import Command, facts, printer, table
from app.clock import utc_now

_MOST_HOURS, _BAR = 48, 40
_SENTENCES = {
    "window": "the sending window",
    "account_hour": "hourly limits of the accounts",
    "account_day": "daily limits of the accounts",
    "account_gap": "minimum gaps of the accounts",
    "queue": "the queue's limit per minute",
    "app": "the app's limit per minute",
    "app_day": "the app's daily quota",
    "app_month": "the app's monthly quota",
    "global": "the limit per minute over all apps",
    "domain": "slowed recipient domains",
}


@click.command(cls=Command)
@app_option
@click.argument("name")
def forecast(app_name: str | None, name: str) -> None:
    """Tell when the mails of a campaign go; of a draft, as if it were started now."""
    with database() as session:
        app = chosen_app(session, app_name)
        campaign = campaigns.get(session, app.id, name)
        found = outlook.refresh(session, campaign.id, utc_now())
        first = outlook.at_start(session, campaign.id)
    result = found.document() | {
        "campaign": campaign.name,
        "status": str(campaign.status),
        "ends_at_as_of_start": first["ends_at"] if first else None,
    }
    printer().show(result, _shown)


def _shown(result: Mapping[str, Any]) -> RenderableType:
    if not result["mails"]:
        return Text(f"No mail of {result['campaign']} is still to go.")
    plain = {
        "campaign": f"{result['campaign']} ({result['status']})",
        "still to go": f"{result['mails']:,} mails",
        "ends": _at(result["ends_at"]),
        "at its start": _at(result["ends_at_as_of_start"]),
        "held": f"{result['held']:,} people, by a mail of unknown fate" if result["held"] else None,
    }
    steps = table("Steps", "step", "#mails", "first", "last")
    for one in result["steps"]:
        times = (_at(one["first_at"]), _at(one["last_at"]))
        steps.add_row(str(one["position"]), f"{one['mails']:,}", *times)
    parts: list[RenderableType] = [facts("", plain), Text(""), steps, Text("")]
    return Lines(*parts, _limits(result), Text(""), _hours(result))


def _limits(result: Mapping[str, Any]) -> RenderableType:
    if not result["limits"]:
        return Text("No limit binds.")
    bound = table("What binds", "limit", "from", "to", "#mails")
    for one in result["limits"]:
        name = _SENTENCES.get(one["limit"], one["limit"])
        bound.add_row(name, _at(one["from"]), _at(one["to"]), f"{one['mails']:,}")
    return bound


def _hours(result: Mapping[str, Any]) -> RenderableType:
    hours = result["by_hour"]
    most = max(mails for _, mails in hours)
    shown = table("By hour (UTC)", "hour", "#mails", "")
    for at, mails in hours[:_MOST_HOURS]:
        shown.add_row(_at(at), f"{mails:,}", "#" * max(1, round(_BAR * mails / most)))
    if len(hours) > _MOST_HOURS:
        shown.add_row(f"{len(hours) - _MOST_HOURS} more hours", "", "")
    return shown


def _at(text: str | None) -> str | None:
    return f"{dt.datetime.fromisoformat(text):%Y-%m-%d %H:%M}" if text else None
