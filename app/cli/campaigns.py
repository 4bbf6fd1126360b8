"""`mailqueue campaign`: made whole from a file, started, paused, resumed, cancelled, shown."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from app.analytics import reports
from app.audit import Author
from app.campaigns import brakes, campaigns, definition, stages
from app.campaigns.campaigns import Campaign
from app.campaigns.stages import StageRow
from app.cli.context import CLI, app_option, chosen_app, database
from app.cli.funnel import funnel_of, funnel_table
from app.cli.ledger import balance
from app.cli.ledger import facts_of as facts_of_ledger
from app.cli.output import Group, facts, printer, table
from app.cli.rest import send_rest
from app.clock import utc_now
from app.db.session import Session
from app.errors import InputInvalid
from app.lifecycle import ledger as books

Move = Callable[[Session, UUID, str, Author, dt.datetime], Campaign]


@click.group(cls=Group)
def campaign() -> None:
    """Campaigns: a sequence of templates for an audience of leads."""


@campaign.command()
@app_option
@click.option(
    "-f",
    "--file",
    "path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="campaign.yaml; see infra/local/demo/campaign.yaml.",
)
def create(app_name: str | None, path: Path) -> None:
    """Store the campaign a file describes, as a draft: whole or not at all."""
    described = read_definition(path)
    with database() as session:
        app = chosen_app(session, app_name)
        made = campaigns.create(session, app.id, described, CLI)
    printer().show(
        facts_of(made),
        lambda found: Text(
            f"Created {found['name']} with {found['steps']} step(s), as a draft.\n"
            f"Start it: mailqueue campaign start '{found['name']}'"
        ),
    )


def read_definition(path: Path) -> definition.CampaignDefinition:
    """Return the campaign a file describes; raises InputInvalid naming line and field."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputInvalid(
            f"{path} is not UTF-8 text.", fix="Save it as UTF-8.", field=str(path)
        ) from error
    return definition.read(text, str(path))


@campaign.command()
@app_option
@click.argument("name")
def start(app_name: str | None, name: str) -> None:
    """Enrol the audience and run, at once or at the campaign's scheduled_at."""
    _move(app_name, name, campaigns.start)


@campaign.command()
@app_option
@click.argument("name")
def pause(app_name: str | None, name: str) -> None:
    """Keep every mail back that is not at the server yet."""
    _move(app_name, name, campaigns.pause)


@campaign.command()
@app_option
@click.argument("name")
def resume(app_name: str | None, name: str) -> None:
    """Go on with a paused campaign."""
    _move(app_name, name, campaigns.resume)


@campaign.command("go-on")
@app_option
@click.argument("name")
def go_on(app_name: str | None, name: str) -> None:
    """Let all of it go though its first stage is still watched, or was braked."""
    _move(app_name, name, brakes.go_on)


@campaign.command()
@app_option
@click.argument("name")
def cancel(app_name: str | None, name: str) -> None:
    """End the campaign for good; what is sent is sent."""
    _move(app_name, name, campaigns.cancel)


def _move(app_name: str | None, name: str, move: Move) -> None:
    with database() as session:
        app = chosen_app(session, app_name)
        moved = move(session, app.id, name, CLI, utc_now())
    printer().show(facts_of(moved), lambda found: Text(f"{found['name']} is {found['status']}."))


campaign.add_command(send_rest)


@campaign.command("list")
@app_option
def list_(app_name: str | None) -> None:
    """List the campaigns of an app, the newest first."""
    with database() as session:
        app = chosen_app(session, app_name)
        found = [facts_of(one) for one in campaigns.list_all(session, app.id)]
    printer().show(found, _listed)


@campaign.command()
@app_option
@click.argument("name")
def show(app_name: str | None, name: str) -> None:
    """Show a campaign: its funnel by step, its accounts, its ledger."""
    with database() as session:
        app = chosen_app(session, app_name)
        found = campaigns.get(session, app.id, name)
        result = facts_of(found) | {
            "stage": stage_of(stages.find(session, found.id)),
            "funnel": funnel_of(reports.funnel(session, found.id)),
            "accounts": [
                {"address": one.address, "sent": one.counts.sent, "failed": one.counts.failed}
                for one in reports.by_account(session, found.id)
            ],
            "ledger": facts_of_ledger(books.of_campaign(session, found.id)) | {"of": found.name},
        }
    printer().show(result, _shown)


def facts_of(found: Campaign) -> dict[str, Any]:
    """Return what is shown of a campaign."""
    return {
        "id": str(found.id),
        "name": found.name,
        "status": str(found.status),
        "steps": found.steps,
        "priority": found.priority,
        "timezone": found.timezone,
        "scheduled_at": _iso(found.scheduled_at),
        "started_at": _iso(found.started_at),
        "finished_at": _iso(found.finished_at),
    }


def stage_of(found: StageRow | None) -> dict[str, Any] | None:
    """Return what is shown of a campaign's staged release; None = it is released whole."""
    if found is None:
        return None
    return {
        "phase": str(found.phase),
        "percent": float(found.percent),
        "size": found.size,
        "admitted": found.admitted,
        "watched_until": _iso(found.watched_until),
        "reason": found.reason,
    }


def _iso(at: dt.datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _shown(result: Mapping[str, Any]) -> RenderableType:
    plain = {name: value for name, value in result.items() if isinstance(value, (str, int))}
    if stage := result["stage"]:
        named = {f"stage {name.replace('_', ' ')}": value for name, value in stage.items()}
        plain |= {name: value for name, value in named.items() if value is not None}
    listed = table("", "account", "#sent", "#failed")
    for one in result["accounts"]:
        listed.add_row(one["address"], f"{one['sent']:,}", f"{one['failed']:,}")
    books_line = balance(result["ledger"])
    parts = [facts("", plain), funnel_table(result["funnel"]), listed, books_line]
    return Lines(*(part for pair in parts for part in (pair, Text(""))))


def _listed(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not found:
        return Text("No campaign yet. Make one: mailqueue campaign create -f campaign.yaml")
    listed = table("", "name", "status", "#steps", "#priority", "started", "finished")
    for one in found:
        times = (one["started_at"] or "-", one["finished_at"] or "-")
        steps, priority = str(one["steps"]), str(one["priority"])
        listed.add_row(one["name"], one["status"], steps, priority, *times)
    return listed
