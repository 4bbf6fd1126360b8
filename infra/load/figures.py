"""What was measured, beside the goal of DESIGN section 14: the table a run prints. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Which side of a goal's limit is the good one."""

    AT_LEAST = ">="
    AT_MOST = "<="


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A row of DESIGN 14. `is_ratio`: the limit is for ours / other, not for ours."""

    direction: Direction
    limit: float
    is_ratio: bool = False

    def is_met_by(self, value: float) -> bool:
        """Tell whether `value` is on the good side."""
        if self.direction is Direction.AT_LEAST:
            return value >= self.limit
        return value <= self.limit

    def __str__(self) -> str:
        return f"{self.direction} {number(self.limit)}{'x' if self.is_ratio else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of a table: our value, the peer's where there is one, the goal where there is one.

    `unit` is written behind both values; `other` is None when the peer did not run.
    """

    name: str
    ours: float
    unit: str
    other: float | None = None
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's; None without a peer."""
        return self.ours / self.other if self.other else None

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is met; None when there is no goal, or no peer to compare with."""
        if self.goal is None:
            return None
        value = self.ratio if self.goal.is_ratio else self.ours
        return None if value is None else self.goal.is_met_by(value)


_HEADINGS = ("figure", "ours", "peer", "ratio", "goal", "reached")
_SAID = {True: "yes", False: "NO", None: "-"}


def table(title: str, figures: Sequence[Figure]) -> str:
    """Return the figures as aligned columns under a title, numbers to the right."""
    rows = [_HEADINGS, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join([title, *lines, ""])


def number(value: float) -> str:
    """Return a value as a person reads it: three digits that count, thousands apart."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    for bound, places in ((10, 1), (1, 2), (0.1, 3)):
        if abs(value) >= bound:
            return f"{value:.{places}f}".rstrip("0").rstrip(".")
    return f"{value:.4f}".rstrip("0")


def _row(figure: Figure) -> tuple[str, ...]:
    other, ratio = figure.other, figure.ratio
    return (
        figure.name,
        f"{number(figure.ours)} {figure.unit}".strip(),
        "-" if other is None else f"{number(other)} {figure.unit}".strip(),
        "-" if ratio is None else f"{number(ratio)}x",
        "-" if figure.goal is None else str(figure.goal),
        _SAID[figure.is_reached],
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    ways: list[Callable[[str, int], str]] = [str.ljust, *([str.rjust] * (len(row) - 1))]
    return [way(cell, width) for way, cell, width in zip(ways, row, widths, strict=True)]
