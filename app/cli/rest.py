"""`mailqueue campaign send-rest`: to exactly those who did not get it."""

import click
from rich.text import Text

from app.campaigns import rest as rests
from app.cli.context import CLI, app_option, chosen_app, database
from app.cli.output import Command, printer
from app.clock import utc_now


@click.command("send-rest", cls=Command)
@app_option
@click.argument("name")
def send_rest(app_name: str | None, name: str) -> None:
    """Send a finished or cancelled campaign to exactly those who did not get it."""
    with database() as session:
        app = chosen_app(session, app_name)
        done = rests.send_rest(session, app.id, name, CLI, utc_now())
    result = {
        "name": done.campaign.name,
        "status": str(done.campaign.status),
        "people": done.people,
        "again": done.again,
    }
    printer().show(result, lambda _: Text(_sentence(done)))


def _sentence(done: rests.Rest) -> str:
    name = done.campaign.name
    if not done.people:
        return f"Everybody who may get {name} has it. Nothing was added."
    return (
        f"{name} goes on for {done.people:,} people; "
        f"{done.again:,} of them get once more the mail that did not reach them."
    )
