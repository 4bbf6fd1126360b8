"""`mailqueue unknown`: mails whose SMTP reply was never seen, held until a person decides."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import click
from rich.console import RenderableType
from rich.text import Text

from app.audit import AuditEntry, record
from app.campaigns import campaigns
from app.cli.context import CLI, app_option, chosen_app, database
from app.cli.output import Group, printer, table
from app.db.session import Session
from app.errors import InputInvalid, NotFound
from app.lifecycle import unknowns
from app.lifecycle.unknowns import Decision, Selection, Unknown

_BATCH = 200


@click.group(cls=Group)
def unknown() -> None:
    """Mails that may have arrived: the connection broke between the final dot and the reply."""


def _selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--connection", metavar="ID", help="Only those of this SMTP connection."),
        click.option("--email", "email_id", type=click.UUID, metavar="ID", help="Only this one."),
        click.option("--campaign", "campaign", metavar="NAME", help="Only of this campaign."),
    ):
        command = option(command)
    return app_option(command)


@unknown.command("list")
@_selection_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_(limit: int, **chosen: Any) -> None:
    """List held mails with the evidence: where it broke, and what was said until then."""
    with database() as session:
        found = unknowns.find(session, _selection(session, **chosen), limit=limit)
    printer().show([facts_of(one) for one in found], _listed)


@unknown.command()
@_selection_options
@click.option("--all", "everything", is_flag=True, help="Every unknown mail of the app.")
def resend(everything: bool, **chosen: Any) -> None:  # noqa: FBT001 - a flag of the command line
    """Send them again; whoever got the first copy gets a second one."""
    _decide(Decision.RESEND, chosen, everything)


@unknown.command("assume-sent")
@_selection_options
@click.option("--all", "everything", is_flag=True, help="Every unknown mail of the app.")
def assume_sent(everything: bool, **chosen: Any) -> None:  # noqa: FBT001 - a flag of the command line
    """Count them as sent; whoever did not get the first copy gets none."""
    _decide(Decision.ASSUME_SENT, chosen, everything)


def _decide(decision: Decision, chosen: Mapping[str, Any], everything: bool) -> None:  # noqa: FBT001 - as given
    if not everything and not any(chosen[name] for name in ("campaign", "email_id", "connection")):
        raise InputInvalid(
            "Which mails?",
            why="The decision cannot be taken back.",
            fix="Say --campaign NAME, --email ID or --connection ID, or --all for every one.",
        )
    with database() as session:
        selection = _selection(session, **chosen)
        moved = sum(
            _settle(session, ids, selection, decision) for ids in _batches(session, selection)
        )
    if not moved:
        raise NotFound("No unknown mail matches.", fix="See what is held: mailqueue unknown list")
    words = {Decision.RESEND: "will be sent again", Decision.ASSUME_SENT: "count as sent"}[decision]
    printer().show(
        {"decision": str(decision), "emails": moved},
        lambda found: Text(f"{found['emails']:,} mails {words}."),
    )


def _batches(session: Session, selection: Selection) -> Iterator[list[UUID]]:
    """Yield the ids chosen in bounded batches, each to be settled before the next is read."""
    after = UUID(int=0)
    while found := unknowns.find(session, selection, limit=_BATCH, after=after):
        yield [one.email_id for one in found]
        after = found[-1].email_id


def _settle(session: Session, ids: list[UUID], selection: Selection, decision: Decision) -> int:
    """Decide one batch, with its entry in the audit log, in one transaction."""
    with session.transaction():
        moved = unknowns.decide(session, ids, decision, CLI.name)
        if moved:
            entry = AuditEntry(
                app_id=selection.app_id,
                author=CLI,
                action=f"unknown.{decision}",
                target_kind="email",
                target_id=moved[0] if len(moved) == 1 else f"{len(moved)} e-mails",
                after={"ids": [str(email_id) for email_id in moved]},
            )
            record(session, entry)
    return len(moved)


def _selection(
    session: Session,
    *,
    app_name: str | None,
    campaign: str | None,
    email_id: UUID | None,
    connection: str | None,
) -> Selection:
    app = chosen_app(session, app_name)
    return Selection(
        app_id=app.id,
        campaign_id=campaigns.get(session, app.id, campaign).id if campaign else None,
        email_id=email_id,
        connection=connection,
    )


def facts_of(one: Unknown) -> dict[str, Any]:
    """Return what is shown of an unknown mail."""
    evidence = one.evidence or {}
    return {
        "id": str(one.email_id),
        "to": one.to_email,
        "campaign_id": None if one.campaign_id is None else str(one.campaign_id),
        "since": one.first_claimed_at.isoformat(timespec="seconds")
        if one.first_claimed_at
        else None,
        "reason": one.reason,
        "host": evidence.get("host"),
        "connection": evidence.get("connection"),
        "stage": evidence.get("stage"),
        "dialogue": evidence.get("dialogue", []),
    }


def _listed(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not found:
        return Text("No mail is unknown.")
    listed = table("", "id", "to", "since", "connection", "reason")
    for one in found:
        since, connection = one["since"] or "-", one["connection"] or "-"
        listed.add_row(one["id"], one["to"], since, connection, one["reason"] or "-")
    return listed
