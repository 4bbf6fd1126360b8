"""`mailqueue account`: sender identities, the servers they send through, and their limits."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict, Unpack

import click
from rich.console import RenderableType
from rich.text import Text

from app.cli.context import CLI, app_option, chosen_app, database, given_password, secret_box
from app.cli.output import Group, printer, table
from app.cli.probing import show_probe
from app.config import settings
from app.db.session import Session
from app.errors import InputInvalid
from app.smtp.connection import Security, Server
from app.smtp.probe import check
from app.smtp.resolve import networks_in
from app.tenancy import email_accounts, smtp_configs
from app.tenancy.apps import App
from app.tenancy.email_accounts import Account, Limits, NewAccount
from app.tenancy.smtp_configs import NewSmtpConfig, SmtpConfig

_LIMITS = ("hourly_limit", "daily_limit", "min_gap_ms")


class NewAccountOptions(TypedDict):
    """What `account create` is given on the command line."""

    app_name: str | None
    address: str
    name: str
    reply_to: str | None
    codes_replies: bool
    server: str | None
    host: str | None
    port: int
    security: str
    username: str | None
    password_env: str | None
    ask_password: bool
    hourly_limit: int | None
    daily_limit: int | None
    min_gap_ms: int
    connections: int


class LimitOptions(TypedDict):
    """What `account limits` is given: only what is said is changed; 0 takes a limit away."""

    hourly_limit: NotRequired[int | None]
    daily_limit: NotRequired[int | None]
    min_gap_ms: NotRequired[int | None]


@click.group(cls=Group)
def account() -> None:
    """Senders: an address, its SMTP server, and how fast it may send."""


@account.command()
@app_option
@click.argument("address")
@click.option("--name", default="", help="Display name in From.")
@click.option("--reply-to", help="Address in Reply-To.")
@click.option(
    "--codes-replies", is_flag=True, help="Replies come to the inbound domain and stop sequences."
)
@click.option(
    "--server", help="Name of a server that exists, or of the one made with --host (else: ADDRESS)."
)
@click.option("--host", help="SMTP host; makes a new server.")
@click.option("--port", type=click.IntRange(1, 65_535), default=587, show_default=True)
@click.option(
    "--security",
    type=click.Choice([kind.value for kind in Security]),
    default=Security.STARTTLS.value,
    show_default=True,
)
@click.option("--username", help="SMTP login.")
@click.option("--password-env", metavar="VARIABLE", help="Read the password from this variable.")
@click.option("--ask-password", is_flag=True, help="Ask for the password on the terminal.")
@click.option("--connections", type=int, default=8, show_default=True, help="At most, at once.")
@click.option("--hourly-limit", type=int, help="Mails in any 60 minutes.")
@click.option("--daily-limit", type=int, help="Mails in a day.")
@click.option("--min-gap-ms", type=int, default=0, help="Time between two mails, at least.")
def create(**given: Unpack[NewAccountOptions]) -> None:
    """Create a sender ADDRESS that sends through an SMTP server, new or existing."""
    with database() as session, session.transaction():
        app = chosen_app(session, given["app_name"])
        server = _server_for(session, app, given)
        new = NewAccount(
            app_id=app.id,
            smtp_config_id=server.id,
            address=given["address"],
            display_name=given["name"],
            reply_to=given["reply_to"],
            codes_replies=given["codes_replies"],
            hourly_limit=given["hourly_limit"],
            daily_limit=given["daily_limit"],
            min_gap_ms=given["min_gap_ms"],
        )
        made = email_accounts.create(session, new, CLI)
    printer().show(
        facts_of(made) | {"server": server.name, "host": server.host, "port": server.port},
        lambda found: Text(
            f"Created {found['address']}, sending through {found['host']}:{found['port']}.\n"
            f"Try it: mailqueue account test {found['address']}"
        ),
    )


def _server_for(session: Session, app: App, given: NewAccountOptions) -> SmtpConfig:
    box = secret_box()
    if given["host"] is None:
        if given["server"] is None:
            raise InputInvalid(
                "The account needs a server to send through.",
                fix="Say --host HOST for a new one, or --server NAME for one that exists.",
                field="host",
            )
        return smtp_configs.get_by_name(session, box, app.id, given["server"])
    new = NewSmtpConfig(
        app_id=app.id,
        name=given["server"] or given["address"],  # accounts of one host have their own logins
        host=given["host"],
        port=given["port"],
        security=Security(given["security"]),
        username=given["username"],
        password=given_password(
            "SMTP password", given["password_env"], is_asked=given["ask_password"]
        ),
        connections=given["connections"],
    )
    return smtp_configs.create(session, box, new, CLI)


@account.command()
@app_option
@click.argument("address")
def test(app_name: str | None, address: str) -> None:
    """Connect, encrypt, log in and offer the sender, step by step; sends no mail."""
    with database() as session:
        app = chosen_app(session, app_name)
        found = email_accounts.get_by_address(session, app.id, address)
        config = smtp_configs.get(session, secret_box(), app.id, found.smtp_config_id)
    server = _server(config)
    show_probe(found.address, server, check(server, found.address), good="The account can send.")


def _server(config: SmtpConfig) -> Server:
    now = settings()
    return Server(
        host=config.host,
        port=config.port,
        security=config.security,
        username=config.username,
        password=config.password,
        helo=now.helo_name,
        connections=1,
        allowed_networks=networks_in(now.smtp_allowed_networks),
    )


@account.command("list")
@app_option
def list_(app_name: str | None) -> None:
    """List the senders of an app with their limits."""
    with database() as session:
        app = chosen_app(session, app_name)
        found = [facts_of(one) for one in email_accounts.list_all(session, app.id)]
    printer().show(found, _listed)


@account.command()
@app_option
@click.argument("address")
@click.option("--hourly-limit", type=click.IntRange(0), help="Mails in any 60 minutes; 0 = none.")
@click.option("--daily-limit", type=click.IntRange(0), help="Mails in a day; 0 = none.")
@click.option("--min-gap-ms", type=click.IntRange(0), help="Time between two mails, at least.")
def limits(app_name: str | None, address: str, **given: Unpack[LimitOptions]) -> None:
    """Show an account's limits, or change those named, also while it sends."""
    said = {name: value for name, value in given.items() if value is not None}
    with database() as session:
        app = chosen_app(session, app_name)
        found = email_accounts.get_by_address(session, app.id, address)
        if said:
            found = email_accounts.update_limits(session, found, _merged(found, said), CLI)
    printer().show([facts_of(found)], _listed)


@account.command()
@app_option
@click.argument("address")
def pause(app_name: str | None, address: str) -> None:
    """Let an account send nothing until it is resumed."""
    with database() as session:
        found = email_accounts.get_by_address(session, chosen_app(session, app_name).id, address)
        wanted = dataclasses.replace(found, status="paused")
        paused = email_accounts.update(session, wanted, CLI)
    printer().show([facts_of(paused)], _listed)


@account.command()
@app_option
@click.argument("address")
def resume(app_name: str | None, address: str) -> None:
    """Let a paused account send again."""
    with database() as session:
        found = email_accounts.get_by_address(session, chosen_app(session, app_name).id, address)
        wanted = dataclasses.replace(found, status="active")
        resumed = email_accounts.update(session, wanted, CLI)
    printer().show([facts_of(resumed)], _listed)


def _merged(found: Account, said: Mapping[str, Any]) -> Limits:
    values = {name: getattr(found, name) for name in _LIMITS} | dict(said)
    return Limits(
        hourly_limit=values["hourly_limit"] or None,
        daily_limit=values["daily_limit"] or None,
        min_gap_ms=values["min_gap_ms"] or 0,
    )


def facts_of(found: Account) -> dict[str, Any]:
    """Return what is shown of an account."""
    return {
        "id": str(found.id),
        "address": found.address,
        "display_name": found.display_name,
        "status": found.status,
        **{name: getattr(found, name) for name in _LIMITS},
    }


def _listed(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not found:
        return Text("No account yet. Make one: mailqueue account create ADDRESS --host HOST")
    listed = table("", "address", "status", "#per hour", "#per day", "#gap")
    for one in found:
        gap = f"{one['min_gap_ms']:,} ms" if one["min_gap_ms"] else "-"
        hourly, daily = (str(one[name] or "-") for name in ("hourly_limit", "daily_limit"))
        listed.add_row(one["address"], one["status"], hourly, daily, gap)
    return listed
