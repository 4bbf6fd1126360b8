"""`mailqueue reputation`: how senders stand, and how a person ends a hold."""

from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from app.analytics import standing
from app.analytics.standing import Sender
from app.cli.context import CLI, app_option, chosen_app, database
from app.cli.output import Group, printer, table
from app.clock import utc_now
from app.tenancy import email_accounts

_COLOURS = {"good": "green", "warned": "yellow", "slowed": "yellow", "held": "red"}


@click.group(cls=Group)
def reputation() -> None:
    """Who is warned, slowed or held for bounces, blocks and complaints."""


@reputation.command()
@app_option
def show(app_name: str | None) -> None:
    """Show the app and its accounts: level, score, figures, and the rule that decided."""
    with database() as session:
        found = standing.senders(session, chosen_app(session, app_name).id)
    printer().show([facts_of(one) for one in found], _shown)


@reputation.command()
@app_option
@click.argument("address", required=False)
def release(app_name: str | None, address: str | None) -> None:
    """Let an account that is held or slowed send freely again; without ADDRESS the whole app."""
    with database() as session:
        app = chosen_app(session, app_name)
        sender = email_accounts.get_by_address(session, app.id, address).id if address else app.id
        released = standing.release(session, app.id, sender, CLI, utc_now())
    printer().show([facts_of(released)], _shown)


def facts_of(found: Sender) -> dict[str, Any]:
    """Return what is shown of a sender; `sender` is its address, or `app`."""
    released_at = found.released_at.isoformat(timespec="seconds") if found.released_at else None
    return {
        "sender_id": str(found.sender_id),
        "sender": found.address or "app",
        "level": str(found.level),
        "rule": found.rule,
        "reason": found.reason,
        "per_hour": found.per_hour,
        "score": found.score,
        "figures": found.figures,
        "changed_at": found.changed_at.isoformat(timespec="seconds"),
        "released_at": released_at,
    }


def _shown(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not found:
        return Text("Nothing came back yet that is held against a sender.")
    listed = table("", "sender", "level", "#score", "#per hour", "since (UTC)", "why")
    for one in found:
        level = Text(one["level"], style=_COLOURS[one["level"]])
        score, pace = (str(one[name] if one[name] is not None else "-") for name in _NUMBERS)
        since = one["changed_at"][:16].replace("T", " ")
        listed.add_row(one["sender"], level, score, pace, since, one["reason"] or "")
    return listed


_NUMBERS = ("score", "per_hour")
