"""`mailqueue bounce explain`: what mails that came back say about each recipient, and why."""

import mailbox
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from app.cli.output import Command, Group, facts, printer
from app.errors import InputInvalid
from app.mail.answer import read_answer
from app.mail.classify import Verdict
from app.mail.message import MOST_BYTES
from app.mail.rules import BounceClass

_STYLES = {
    BounceClass.HARD: "bold red",
    BounceClass.BLOCK: "yellow",
    BounceClass.COMPLAINT: "bold red",
    BounceClass.SOFT: "cyan",
    BounceClass.DELIVERED: "green",
}


@click.group(cls=Group)
def bounce() -> None:
    """Mails that came back: what they say."""


@bounce.command(cls=Command)
@click.option("--mbox", "is_mbox", is_flag=True, help="Each FILE is a mailbox of several mails.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
def explain(files: tuple[str, ...], is_mbox: bool) -> None:  # noqa: FBT001 - click calls it so
    """Tell of each recipient in each FILE: the class, the status, the rule that decided, and why.

    A FILE is one mail as it came; a folder (also a maildir) stands for the files in it, and - for
    standard input. With --json there is one line for each mail.
    """
    mails = _mailboxes(files) if is_mbox else _files(files)
    for name, raw in mails:
        verdicts = _unreadable(raw) if isinstance(raw, OSError) else read_answer(raw).verdicts
        printer().show_line(_result(name, verdicts), partial(_told, name, verdicts))


def _files(names: Iterable[str]) -> Iterator[tuple[str, bytes | OSError]]:
    for name in names:
        if name == "-":
            yield name, sys.stdin.buffer.read(MOST_BYTES + 1)
        elif (path := Path(name)).is_dir():
            found = (one for one in sorted(path.rglob("*")) if one.is_file())
            yield from ((str(one), _read(one)) for one in found)
        else:
            yield name, _read(path)


def _read(path: Path) -> bytes | OSError:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        return error


def _mailboxes(names: Iterable[str]) -> Iterator[tuple[str, bytes | OSError]]:
    for name in names:
        if not Path(name).is_file():
            raise InputInvalid(f"There is no mailbox {name}.", fix="Name a file.", field="files")
        with closing(mailbox.mbox(name, create=False)) as box:
            for number, key in enumerate(box.keys(), start=1):
                yield f"{name}:{number}", box.get_bytes(key)


def _unreadable(error: OSError) -> tuple[Verdict, ...]:
    why = f"The file cannot be read: {error.strerror}."
    return (
        Verdict(
            address="", class_=BounceClass.NONE, status="", rule="unreadable-file", explanation=why
        ),
    )


def _result(name: str, verdicts: tuple[Verdict, ...]) -> dict[str, Any]:
    return {
        "file": name,
        "recipients": [
            {
                "address": verdict.address,
                "class": str(verdict.class_),
                "status": verdict.status,
                "rule": verdict.rule,
            }
            for verdict in verdicts
        ],
    }


def _told(name: str, verdicts: tuple[Verdict, ...], _result: object) -> RenderableType:
    shown = facts("", {})
    shown.add_row(Text("file", style="dim"), Text(name))
    for verdict in verdicts:
        said = Text(str(verdict.class_), style=_STYLES.get(verdict.class_, ""))
        said.append(f"  {verdict.status}" if verdict.status else "", style="default")
        said.append(f"  {verdict.rule}\n", style="dim")
        said.append(verdict.explanation, style="default")
        shown.add_row(Text(verdict.address or "-", style="bold"), said)
    return shown
