"""Trying a server from the terminal: each step up to the first that failed."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from app.cli.output import printer, table
from app.errors import DependencyUnavailable
from app.smtp.connection import Server
from app.smtp.probe import ProbeStep


def show_probe(address: str, server: Server, steps: Sequence[ProbeStep], good: str) -> None:
    """Print what was found, `good` when all is well; raises DependencyUnavailable otherwise."""
    last = steps[-1]
    result = {
        "address": address,
        "host": server.host,
        "port": server.port,
        "ok": last.ok,
        "steps": [_said(step) for step in steps],
    }
    printer().show(result, lambda found: _tested(found, good))
    if not last.ok:
        raise DependencyUnavailable(
            f"{server.host}:{server.port} cannot be used: step {last.name} failed.",
            why=last.text,
            field=last.name,
        )


def _said(step: ProbeStep) -> dict[str, Any]:
    return {"name": step.name, "ok": step.ok, "ms": round(step.ms, 1), "text": step.text}


def _tested(result: Mapping[str, Any], good: str) -> RenderableType:
    listed = table(f"{result['address']} through {result['host']}:{result['port']}", "", "", "#ms")
    listed.add_column("", overflow="fold")
    listed.show_header = False
    for step in result["steps"]:
        mark = Text("ok", "green") if step["ok"] else Text("FAILED", "bold red")
        listed.add_row(mark, step["name"], f"{step['ms']:.0f} ms", Text(step["text"]))
    return Lines(listed, Text(good if result["ok"] else ""))
