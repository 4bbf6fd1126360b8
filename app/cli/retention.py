"""`mailqueue retention`: what is past its time, letting it go, and reading what was archived."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from app.cli.context import CLI, database
from app.cli.output import Group, printer, table
from app.clock import utc_now
from app.config import settings
from app.errors import InputInvalid
from app.retention import archives, files, run
from app.retention.run import Order


@click.group(cls=Group)
def retention() -> None:
    """How long what is kept: months are archived and dropped, the rest goes row by row."""


@retention.command("run")
@click.option("--dry-run", is_flag=True, help="Say what would go and why; change nothing.")
@click.option(
    "--minutes", type=click.IntRange(1, 10_000), default=60, show_default=True, help="At most."
)
def run_(dry_run: bool, minutes: int) -> None:  # noqa: FBT001 - a flag of the command line
    """Let go what is past its time; the clock does it every hour."""
    now = settings()
    with database() as session:
        if dry_run:
            lines = run.look(session, utc_now())
        else:
            longest = dt.timedelta(minutes=minutes)
            order = Order(
                author=CLI, folder=now.archive_dir, rabbitmq_url=now.rabbitmq_url, longest=longest
            )
            lines = run.run(session, utc_now(), order)
    printer().show([dataclasses.asdict(line) for line in lines], _listed)


@retention.command("list")
def list_() -> None:
    """List the archive files."""
    with database() as session:
        found = [dataclasses.asdict(part) for part in archives.every(session)]
    printer().show([one | {"sha256": bytes(one["sha256"]).hex()} for one in found], _files)


@retention.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(0, 1_000_000), default=10, show_default=True)
def show(file: Path, limit: int) -> None:
    """Check an archive file against its manifest and show its first rows."""
    manifest = files.manifest_of(file)
    noted = {one["file"]: one for one in manifest["files"]} if manifest else {}
    digest = files.checksum(file).hex()
    if file.name in noted and noted[file.name]["sha256"] != digest:
        raise InputInvalid(
            f"{file} is damaged.",
            why="Its checksum is not the one its manifest names.",
            fix="Use another copy of it.",
        )
    shown = {
        "file": str(file),
        "sha256": digest,
        "is_verified": file.name in noted,
        "manifest": manifest,
        "rows": list(files.read(file, limit)),
    }
    printer().show(shown, _shown)


def _listed(lines: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not lines:
        return Text("Nothing is past its time.")
    listed = table("", "table", "month", "app", "#rows", "#MB", "what", "why")
    for line in lines:
        listed.add_row(
            line["table"],
            (line["partition"] or "")[-7:].replace("_", "-"),
            line["app"] or "",
            "" if line["rows"] is None else f"{line['rows']:,}",
            f"{line['size_bytes'] / 1_000_000:,.1f}",
            line["action"],
            line["why"],
        )
    return listed


def _files(parts: Sequence[Mapping[str, Any]]) -> RenderableType:
    if not parts:
        return Text("Nothing is archived yet.")
    listed = table("", "file", "#rows", "#bytes", "sha256")
    for part in parts:
        listed.add_row(
            part["location"], f"{part['rows']:,}", f"{part['size_bytes']:,}", part["sha256"][:16]
        )
    return listed


def _shown(result: Mapping[str, Any]) -> RenderableType:
    verdict = "as its manifest says" if result["is_verified"] else "no manifest beside it"
    head = Text(f"{result['file']}  sha256 {result['sha256'][:16]}...  {verdict}")
    return Lines(head, *(Text(orjson.dumps(row).decode()) for row in result["rows"]))
