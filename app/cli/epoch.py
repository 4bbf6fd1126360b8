"""`mailqueue epoch`: whether this database may send, and the confirmation that it may."""

from collections.abc import Mapping
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from app.cli.context import CLI, database
from app.cli.output import Group, facts, printer
from app.config import settings
from app.db.session import Session
from app.lifecycle import epoch as epochs
from app.policy.mirrors import DiskMirror, RedisMirror
from app.scheduling.quarantine import Guard


@click.group(cls=Group)
def epoch() -> None:
    """Restore-safe start: a restored or cloned database sends nothing until confirmed."""


@epoch.command()
def show() -> None:
    """Tell whether sending is quarantined, why, and how much mail a confirmation would send."""
    with database() as session:
        result = _state(session)
    printer().show(result, _shown)


@epoch.command()
@click.option("--note", required=True, help="Why this database may send; kept in the audit log.")
def confirm(note: str) -> None:
    """Let a restored or cloned database send; mails it holds as waiting will go."""
    with database() as session:
        _look(session)
        epochs.confirm(session, CLI, note)
        result = _state(session)
    printer().show(result, lambda _: Text("Sending goes on."))


def _look(session: Session) -> None:
    now = settings()
    guard = Guard((DiskMirror(now.state_dir / "epoch"), RedisMirror(now.redis_url)))
    try:
        guard.look(session)
    finally:
        guard.close()


def _state(session: Session) -> dict[str, Any]:
    _look(session)
    found = epochs.read(session)
    verdict = "open" if found is None or found.reason is None else "quarantined"
    return {
        "sending": verdict,
        "reason": found.reason if found else None,
        "since": found.quarantined_at if found else None,
        "releases": found.mark.counter if found else 0,
        "last_release": found.advanced_at if found else None,
        "waiting": epochs.pending(session),
    }


def _shown(result: Mapping[str, Any]) -> RenderableType:
    waiting = sum(result["waiting"].values())
    plain = {name: value for name, value in result.items() if name != "waiting"}
    lines = facts("", plain | {"waiting": f"{waiting:,} e-mails"})
    if result["sending"] == "quarantined":
        lines.add_row("", "")
        lines.add_row(
            Text("what to do", style="dim"),
            Text(
                "What was sent after the backup may stand here as waiting, and would go again. "
                "Cancel what must not go, then: mailqueue epoch confirm --note '...'"
            ),
        )
    return lines
