"""`mailqueue dlq`: messages and mails that no retry by itself will help; a person decides."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import click
import orjson
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from app.cli.context import CLI, app_option, database
from app.cli.output import Group, facts, printer, table
from app.config import settings
from app.db.session import Session
from app.errors import NotFound
from app.queueing import dead_letter_rows, redrive
from app.queueing.dead_letter_rows import Choice
from app.queueing.dead_letters import DeadLetter, as_uuid
from app.queueing.topology import WORK_QUEUES
from app.sending import redrives
from app.sending.redrives import Outlook
from app.tenancy import apps

_BATCH = 100
_MESSAGE_CHARS = 2_000

_queue_option = click.option("--queue", type=click.Choice(WORK_QUEUES), help="Only of this queue.")
_limit_option = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=10_000, show_default=True, help="At most."
)


@click.group(cls=Group)
def dlq() -> None:
    """Dead letters: what failed for good or too often."""


@dlq.command("list")
@app_option
@_queue_option
def list_(app_name: str | None, queue: str | None) -> None:
    """List open dead letters, grouped by what went wrong."""
    with database() as session, redrive.opened(settings().rabbitmq_url) as channel:
        redrive.repair(channel, session)
        choice = Choice(app_id=_app_id(session, app_name), queue=queue)
        found = [dataclasses.asdict(group) for group in dead_letter_rows.groups(session, choice)]
    printer().show(found, _listed)


@dlq.command()
@click.argument("name", metavar="FINGERPRINT|ID")
def show(name: str) -> None:
    """Show one dead letter, or the latest of a fingerprint, and what a retry would do."""
    with database() as session:
        choice = _chosen(None, name, None)
        letters = dead_letter_rows.open_letters(session, choice, limit=_BATCH)
        if not letters:
            raise _nothing(name)
        outlook = redrives.outlook(session, letters)
    newest = max(letters, key=lambda letter: letter.failed_at)
    printer().show(facts_of(newest) | {"outlook": dataclasses.asdict(outlook)}, _shown)


@dlq.command()
@app_option
@_queue_option
@_limit_option
@click.argument("name", metavar="FINGERPRINT|ID|all")
def retry(app_name: str | None, queue: str | None, limit: int, name: str) -> None:
    """Publish dead letters again; what was sent meanwhile is skipped."""
    done, total = 0, Outlook()
    with database() as session, redrive.opened(settings().rabbitmq_url) as channel:
        choice = _chosen(_app_id(session, app_name), name, queue)
        for letters in _batches(session, choice, limit):
            total = _sum(total, redrives.outlook(session, letters))
            redrive.publish_again(channel, letters)
            redrives.retry(session, letters, CLI)
            done += len(letters)
    if not done:
        raise _nothing(name)
    printer().show({"retried": done, "mails": dataclasses.asdict(total)}, _retried)


@dlq.command()
@app_option
@_queue_option
@_limit_option
@click.option("--reason", required=True, help="Why nobody needs them; kept in the audit log.")
@click.argument("name", metavar="FINGERPRINT|ID|all")
def discard(app_name: str | None, queue: str | None, limit: int, reason: str, name: str) -> None:
    """Drop dead letters for good; their mails stay as they are."""
    done = 0
    with database() as session, redrive.opened(settings().rabbitmq_url) as channel:
        choice = _chosen(_app_id(session, app_name), name, queue)
        for letters in _batches(session, choice, limit):
            redrives.discard(session, letters, CLI, reason)
            redrive.throw_away(channel, letters)
            done += len(letters)
    if not done:
        raise _nothing(name)
    printer().show(
        {"discarded": done}, lambda found: Text(f"Discarded {found['discarded']:,} dead letters.")
    )


def _batches(session: Session, choice: Choice, limit: int) -> Iterator[list[DeadLetter]]:
    """Yield what is chosen in bounded batches, each to be finished before the next is read."""
    after, left = UUID(int=0), limit
    while left > 0:
        size = min(_BATCH, left)
        letters = dead_letter_rows.open_letters(session, choice, limit=size, after=after)
        if not letters:
            return
        yield letters
        after, left = letters[-1].id, left - len(letters)


def _chosen(app_id: UUID | None, name: str, queue: str | None) -> Choice:
    identity = as_uuid(name)
    if identity is not None:
        return Choice(app_id=app_id, ids=(identity,), queue=queue)
    if name == "all":
        return Choice(app_id=app_id, queue=queue)
    return Choice(app_id=app_id, fingerprint=name, queue=queue)


def _app_id(session: Session, name: str | None) -> UUID | None:
    """Return the app's id; no name means every app and what belongs to none."""
    return None if name is None else apps.get_by_name(session, name).id


def _nothing(name: str) -> NotFound:
    return NotFound(
        f"No open dead letter matches {name}.",
        why="It was retried or discarded, or the fingerprint or id is mistyped.",
        fix="See what is open: mailqueue dlq list",
    )


def _sum(one: Outlook, other: Outlook) -> Outlook:
    names = [field.name for field in dataclasses.fields(Outlook)]
    return Outlook(**{name: getattr(one, name) + getattr(other, name) for name in names})


def facts_of(letter: DeadLetter) -> dict[str, Any]:
    """Return what is shown of a dead letter."""
    return {
        "id": str(letter.id),
        "fingerprint": letter.fingerprint,
        "queue": letter.queue,
        "actor": letter.actor,
        "failed_at": letter.failed_at.isoformat(timespec="seconds"),
        "attempts": letter.attempts,
        "reason": letter.reason,
        "error_class": letter.error_class,
        "error": letter.error,
        "app_id": None if letter.app_id is None else str(letter.app_id),
        "request_id": letter.request_id,
        "traceback": letter.traceback,
        "message": orjson.loads(letter.body) if letter.body[:1] == b"{" else repr(letter.body),
    }


def _listed(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not found:
        return Text("No dead letters.")
    listed = table("", "fingerprint", "queue", "#letters", "last", "error")
    for group in found:
        last = group["last_at"].isoformat(sep=" ", timespec="seconds")[:19]
        error = f"{group['error_class']}: {group['error']}"
        listed.add_row(group["fingerprint"], group["queue"], f"{group['count']:,}", last, error)
    return listed


def _shown(result: Mapping[str, Any]) -> RenderableType:
    plain = {
        key: value
        for key, value in result.items()
        if key not in {"traceback", "message", "outlook"}
    }
    message = orjson.dumps(result["message"], option=orjson.OPT_INDENT_2).decode()
    parts: list[RenderableType] = [facts("", plain), Text(message[:_MESSAGE_CHARS], style="dim")]
    if result["traceback"]:
        parts.append(Text(result["traceback"]))
    return Lines(*parts, Text("A retry: " + _words(result["outlook"])))


def _retried(result: Mapping[str, Any]) -> RenderableType:
    return Text(f"Retried {result['retried']:,} dead letters: {_words(result['mails'])}")


def _words(mails: Mapping[str, int]) -> str:
    if not any(mails.values()):
        return "no mail is concerned."
    return (
        f"{mails['sent']:,} mails already sent are skipped, {mails['unknown']:,} unknown and "
        f"{mails['stopped']:,} stopped stay, {mails['waiting']:,} waiting go on, "
        f"{mails['revived']:,} start again."
    )
