"""`python -m app.demo seed` prepares a draft campaign; `run` drives a fresh one to its end."""

import sys

import click

from app import log
from app.cli.output import PeoplePrinter
from app.config import settings
from app.db.session import connect
from app.demo.run import run as run_demo
from app.demo.stage import set_up
from app.errors import MailqueueError


@click.group()
def demo() -> None:
    """Drive the system as a newcomer sees it."""
    now = settings()
    log.configure("warning", now.log_format)


@demo.command()
def seed() -> None:
    """Make the app demo with senders, templates, leads and a draft campaign; safe to repeat."""
    now = settings()
    with connect(now.database_url) as session:
        stage = set_up(session, now, "demo", lambda _rows, _bytes: None)
    click.echo(
        f"App demo: {stage.imported.added:,} leads added, campaign '{stage.campaign.name}' is "
        f"{stage.campaign.status}. Start it: "
        f"mailqueue campaign start --app demo '{stage.campaign.name}'"
    )


@demo.command()
def run() -> None:
    """Run a fresh campaign and prove that it adds up; exit code 0 only then."""
    sys.exit(run_demo(settings()))


def main() -> None:
    """Run the demo; expected errors leave as sentences."""
    try:
        demo.main(prog_name="python -m app.demo")
    except MailqueueError as error:
        PeoplePrinter().fail(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
