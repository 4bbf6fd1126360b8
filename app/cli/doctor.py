"""`mailqueue doctor`: every dependency, ok or what to do."""

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from app.cli.checks import CHECKS
from app.cli.output import Command, printer, table
from app.config import settings


@click.command(cls=Command)
@click.option(
    "--only",
    "names",
    multiple=True,
    type=click.Choice(tuple(CHECKS)),
    help="Check only this; may be repeated.",
)
@click.pass_context
def doctor(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Check every dependency; 3 when one of them is at fault."""
    now = settings()
    findings = [
        {"name": found.name, "ok": found.ok, "text": found.text, "fix": found.fix}
        for name in names or CHECKS
        for found in CHECKS[name](now)
    ]
    printer().show(findings, _rendered)
    if not all(found["ok"] for found in findings):
        ctx.exit(3)


def _rendered(findings: Sequence[dict[str, Any]]) -> RenderableType:
    listed = table("", "", "", "", "what to do")
    for found in findings:
        mark = Text("ok", "green") if found["ok"] else Text("FAULT", "bold red")
        listed.add_row(mark, found["name"], Text(found["text"]), Text(found["fix"]))
    faults = sum(not found["ok"] for found in findings)
    closing = "Everything is in place." if not faults else f"{faults} fault(s)."
    return Group(listed, Text(closing))
