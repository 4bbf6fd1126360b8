"""`mailqueue explain`: why a mail goes, waits or went, gate by gate."""

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import click
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from app.campaigns import campaigns
from app.cli.context import app_option, chosen_app, database
from app.cli.output import Command, facts, printer, table
from app.clock import utc_now
from app.config import settings
from app.db.session import Session
from app.errors import InputInvalid, NotFound
from app.lifecycle import explain as explaining
from app.lifecycle import lookup
from app.lifecycle.explain import Explanation
from app.policy.rate_limits import RateLimiter
from app.privacy import address_hash
from app.scheduling.openings import asking

_COLOURS = {"pass": "green", "wait": "yellow", "stop": "red", "unused": "dim"}
_TIMES = ("created_at", "due_at", "queued_at", "claimed_at", "sent_at", "expires_at")


@click.command(cls=Command)
@app_option
@click.argument("email_id", required=False, type=click.UUID)
@click.option("--to", "recipient", metavar="ADDRESS", help="Instead of an id; with --campaign.")
@click.option("--campaign", "name", metavar="NAME", help="The campaign of the recipient's mails.")
def explain(
    app_name: str | None, email_id: UUID | None, recipient: str | None, name: str | None
) -> None:
    """Explain one e-mail, by its id or by its recipient and campaign."""
    with database() as session, contextlib.closing(RateLimiter(settings().redis_url)) as limiter:
        if email_id is not None:
            ids = [email_id]
        else:
            ids = _of_recipient(session, app_name, recipient, name)
        now = utc_now()
        ask = asking(session, limiter, settings().global_per_minute or None, now)
        found = [explaining.explain(session, i, ask_limits=ask, now=now) for i in ids]
    printer().show([facts_of(one) for one in found], _shown)


def _of_recipient(
    session: Session, app_name: str | None, recipient: str | None, name: str | None
) -> list[UUID]:
    if recipient is None or name is None:
        raise InputInvalid(
            "Which e-mail?",
            fix="Give its id, or --to ADDRESS together with --campaign NAME.",
            field="email_id",
        )
    campaign = campaigns.get(session, chosen_app(session, app_name).id, name)
    hashed = address_hash(recipient, settings().address_pepper.get_secret_value())
    ids = lookup.of_recipient(session, campaign.id, hashed)
    if not ids:
        raise NotFound(
            f"{campaign.name} has no mail to this address.",
            why="It was not enrolled, or its first mail is not planned yet.",
            fix=f"See: mailqueue campaign show '{campaign.name}'",
            field="recipient",
        )
    return ids


def facts_of(found: Explanation) -> dict[str, Any]:
    """Return what is shown of an explanation; no address in it."""
    row = found.facts
    return {
        "id": str(found.email_id),
        "state": str(found.state),
        "sentence": found.sentence,
        "next_at": _iso(found.next_at),
        "app": row["app_name"],
        "campaign": row["campaign_name"],
        "queue": row["queue_name"],
        "account": row["address"],
        "priority": row["priority"],
        "attempt": row["attempt"],
        "smtp_code": row["smtp_code"],
        "reason": row["reason"],
        **{name: _iso(row[name]) for name in _TIMES},
        "gates": [
            {
                "name": gate.name,
                "verdict": str(gate.verdict),
                "value": gate.value,
                "set_by": gate.set_by,
                "next_at": _iso(gate.next_at),
            }
            for gate in found.gates
        ],
        "timeline": [
            {"at": _iso(line.at), "type": line.type, "data": line.data} for line in found.timeline
        ],
    }


def _iso(at: dt.datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def _shown(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    return Lines(*(part for one in found for part in _one(one)))


def _one(result: Mapping[str, Any]) -> list[RenderableType]:
    plain = {k: v for k, v in result.items() if k not in ("sentence", "gates", "timeline")}
    parts: list[RenderableType] = [Text(result["sentence"], style="bold"), facts("", plain)]
    if result["gates"]:
        gates = table("Gates", "gate", "", "value", "next", "set by")
        for gate in result["gates"]:
            verdict = Text(gate["verdict"], style=_COLOURS[gate["verdict"]])
            cells = (gate["value"], gate["next_at"] or "", gate["set_by"] or "")
            gates.add_row(gate["name"], verdict, *cells)
        parts += [Text(""), gates]
    if result["timeline"]:
        lines = table("Timeline", "at", "what", "")
        for line in result["timeline"]:
            lines.add_row(line["at"], line["type"], _said(line["data"]))
        parts += [Text(""), lines]
    return [*parts, Text("")]


def _said(data: Mapping[str, Any]) -> str:
    kept = ("attempt", "verdict", "stage", "code", "text", "host", "ms", "source", "by")
    return ", ".join(f"{name} {data[name]}" for name in kept if data.get(name) not in (None, ""))
