"""A campaign's funnel as a table: what became of each step's mails."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from app.analytics.reports import Counts, Funnel
from app.cli.output import table

_COLUMNS = ("planned", "sent", "failed", "stopped", "waiting", "opened", "clicked", "unsubscribed")


def funnel_of(found: Funnel) -> dict[str, Any]:
    """Return a funnel as plain values."""
    return {
        "steps": [{"position": step.position, **_counts(step.counts)} for step in found.steps],
        "total": _counts(found.total),
    }


def funnel_table(funnel: Mapping[str, Any]) -> Table:
    """Return the table; in brackets the mails that only machines opened or clicked."""
    made = table("", "step", *(f"#{column}" for column in _COLUMNS))
    made.caption = "(+n): only by machines, such as prefetching mail programs and link scanners"
    made.caption_justify = "left"
    for step in funnel["steps"]:
        made.add_row(str(step["position"]), *_cells(step))
    made.add_section()
    made.add_row("all", *_cells(funnel["total"]), style="bold")
    return made


def _counts(counts: Counts) -> dict[str, int]:
    return dataclasses.asdict(counts) | {"waiting": counts.waiting}


def _cells(counts: Mapping[str, int]) -> list[str]:
    stopped = counts["suppressed"] + counts["cancelled"] + counts["expired"] + counts["unknown"]
    values = {**counts, "stopped": stopped}
    return [
        _split(values, column) if column in {"opened", "clicked"} else f"{values[column]:,}"
        for column in _COLUMNS
    ]


def _split(counts: Mapping[str, int], column: str) -> str:
    people = counts[f"{column}_human"]
    machines = counts[column] - people
    return f"{people:,} (+{machines:,})" if machines else f"{people:,}"
