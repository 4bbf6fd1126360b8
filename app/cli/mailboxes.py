"""`mailqueue mailbox`: where the answers to a sender arrive, read over IMAP."""

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import click
from rich.console import RenderableType
from rich.text import Text

from app.cli.context import CLI, app_option, chosen_app, database, given_password, secret_box
from app.cli.output import Group, printer, table
from app.cli.probing import show_probe
from app.config import settings
from app.db.session import Session
from app.errors import InputInvalid
from app.feedback import polls
from app.imap.opening import Opening
from app.smtp.connection import Security
from app.smtp.probe import walk
from app.tenancy import email_accounts, mailboxes
from app.tenancy.mailboxes import Mailbox

_TEST_S = 60.0
_SECURITIES = [Security.TLS.value, Security.STARTTLS.value]


class MailboxOptions(TypedDict):
    """What `mailbox set` is given on the command line."""

    app_name: str | None
    address: str
    host: str
    port: int
    security: str
    username: str | None
    password_env: str | None
    ask_password: bool
    folder: str
    interval_s: int


@click.group(cls=Group)
def mailbox() -> None:
    """Mailboxes: where the answers to a sender arrive, when they do not come to this system."""


@mailbox.command("set")
@app_option
@click.argument("address")
@click.option("--host", required=True, help="IMAP host.")
@click.option("--port", type=click.IntRange(1, 65_535), default=993, show_default=True)
@click.option(
    "--security", type=click.Choice(_SECURITIES), default=Security.TLS.value, show_default=True
)
@click.option("--username", help="IMAP login; ADDRESS when left out.")
@click.option("--password-env", metavar="VARIABLE", help="Read the password from this variable.")
@click.option("--ask-password", is_flag=True, help="Ask for the password on the terminal.")
@click.option("--folder", default="INBOX", show_default=True)
@click.option("--interval-s", type=int, default=60, show_default=True, help="Between two looks.")
def set_(**given: Unpack[MailboxOptions]) -> None:
    """Set the mailbox in which the answers to the sender ADDRESS arrive."""
    password = given_password(
        "IMAP password", given["password_env"], is_asked=given["ask_password"]
    )
    if password is None:
        raise InputInvalid(
            "The mailbox needs a password.",
            fix="Say --password-env VARIABLE, or --ask-password.",
            field="password-env",
        )
    with database() as session:
        app = chosen_app(session, given["app_name"])
        account = email_accounts.get_by_address(session, app.id, given["address"])
        wanted = Mailbox(
            app_id=app.id,
            account_id=account.id,
            host=given["host"],
            port=given["port"],
            security=Security(given["security"]),
            username=given["username"] or account.address,
            password=password,
            folder=given["folder"],
            interval_s=given["interval_s"],
        )
        made = mailboxes.put(session, secret_box(), wanted, CLI)
        facts = _facts(session, account.address, made)
    printer().show(facts, lambda _: Text(f"Try it: mailqueue mailbox test {account.address}"))


@mailbox.command()
@app_option
@click.argument("address")
def test(app_name: str | None, address: str) -> None:
    """Connect, encrypt, log in and open the folder, step by step; reads no mail."""
    with database() as session:
        sender, found = _found(session, app_name, address)
    server = found.server(settings().smtp_allowed_networks)
    opening = Opening(server, found.folder, _TEST_S)
    show_probe(sender, server, walk(opening, opening.steps()), good="The mailbox can be read.")


@mailbox.command()
@app_option
@click.argument("address")
def show(app_name: str | None, address: str) -> None:
    """Show a sender's mailbox and how reading it goes."""
    with database() as session:
        sender, found = _found(session, app_name, address)
        facts = _facts(session, sender, found)
    printer().show(facts, _shown)


@mailbox.command()
@app_option
@click.argument("address")
def remove(app_name: str | None, address: str) -> None:
    """Look into a sender's mailbox no more, and forget its password."""
    with database() as session:
        sender, found = _found(session, app_name, address)
        mailboxes.delete(session, found, CLI)
    printer().show({"address": sender}, lambda it: Text(f"{it['address']} has no mailbox now."))


def _found(session: Session, app_name: str | None, address: str) -> tuple[str, Mailbox]:
    app = chosen_app(session, app_name)
    account = email_accounts.get_by_address(session, app.id, address)
    return account.address, mailboxes.get(session, secret_box(), app.id, account.id)


def _facts(session: Session, address: str, found: Mailbox) -> dict[str, Any]:
    """Return what is shown of a mailbox; `problem` quotes its server."""
    state = polls.state(session, found.app_id, found.account_id)
    shown = ("host", "port", "security", "username", "folder", "interval_s", "status")
    going = ("read_at", "due_at", "failures", "failing_since", "failed_step", "problem")
    return {
        "address": address,
        **{name: getattr(found, name) for name in shown},
        **{name: getattr(state, name, None) for name in going},
    }


def _shown(facts: Mapping[str, Any]) -> RenderableType:
    listed = table(f"Mailbox of {facts['address']}", "", "")
    listed.show_header = False
    for name, value in facts.items():
        if value is not None and name != "address":
            listed.add_row(name, Text(str(value)))
    return listed
