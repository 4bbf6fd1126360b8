"""Staged release: the first few per cent of a campaign go, are watched, and decide. Pure.

planned -> first -> watched -> open, or braked from first or watched. A brake needs a smallest number
of events and a share both above what slows a sender and above twice what the app's other mail meets
with: a list that is as good as the app's always is never brakes. Too little other mail tells nothing.
"""

import datetime as dt
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from app.policy.reputation import Conduct, Measure, Thresholds

VERSION = 1  # of the rules that stand here
_WORSE = 2  # times the app's own share
_MOST_SETTLED = 0.9  # of the first mails have an end: the last deferral is not waited for


class Phase(StrEnum):
    """How far the release of a campaign is."""

    PLANNED = "planned"
    FIRST = "first"
    WATCHED = "watched"
    OPEN = "open"
    BRAKED = "braked"


MOVES: dict[Phase, tuple[Phase, ...]] = {
    Phase.PLANNED: (Phase.FIRST, Phase.OPEN),
    Phase.FIRST: (Phase.WATCHED, Phase.OPEN, Phase.BRAKED),
    Phase.WATCHED: (Phase.OPEN, Phase.BRAKED),
    Phase.OPEN: (),
    Phase.BRAKED: (Phase.OPEN,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is seen of the first mails: how many have an end, what they met with.

    `baseline`: what the app's other mail met with; asked for only when it decides.
    """

    settled: int
    conduct: Conduct
    baseline: Callable[[], Conduct]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage as it stands: `size` first mails, watched since `watched_from` for `wait`."""

    phase: Phase
    size: int
    wait: dt.timedelta
    watched_from: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a stage goes next, and why in words."""

    phase: Phase
    reason: str


def size_of(people: int, percent: Decimal, least: int) -> int:
    """Return how many mails go first: `percent` of the people, at least `least`, at most all."""
    return min(people, max(least, math.ceil(people * percent / 100)))


def step(stage: Stage, sight: Sight, limits: Thresholds, now: dt.datetime) -> Step | None:
    """Return where a stage goes next; None = it stays. Only the first and the watched move."""
    if stage.phase not in {Phase.FIRST, Phase.WATCHED}:
        return None
    if said := _against(sight, limits):
        return Step(phase=Phase.BRAKED, reason=said)
    if stage.watched_from is None:
        if sight.settled < math.ceil(stage.size * _MOST_SETTLED):
            return None
        return Step(phase=Phase.WATCHED, reason=f"{sight.settled:,} of {stage.size:,} mails went")
    if now < stage.watched_from + stage.wait:
        return None
    return Step(phase=Phase.OPEN, reason=f"{_figures(sight.conduct)}: no worse than other mail")


def _against(sight: Sight, limits: Thresholds) -> str | None:
    """Return in words what is held against the first mails; None = nothing."""
    for measure, at, least in (
        (Measure.COMPLAINED, limits.complaints_hold, 2),
        (Measure.BOUNCED, limits.bounces_slow, 3),
        (Measure.BLOCKED, limits.blocks_slow, 3),
    ):
        found = sight.conduct
        if found.count(measure) < least or found.rate(measure) < at:
            continue
        usual = _usual(sight.baseline(), measure, limits)
        if found.rate(measure) >= _WORSE * usual:
            return (
                f"{found.rate(measure):.2%} of the first mails {measure} "
                f"({found.count(measure):,} of {found.sent:,}), {usual:.2%} of the app's other mail; "
                f"the limit is {max(at, _WORSE * usual):.2%} (rule stage.{measure}, version {VERSION})"
            )
    return None


def _usual(others: Conduct, measure: Measure, limits: Thresholds) -> float:
    """Return what the app's mail meets with: 0 when a single test mail could decide it."""
    return others.rate(measure) if others.sent >= limits.least_mails else 0.0


def _figures(found: Conduct) -> str:
    return f"{found.sent:,} sent, {found.bounced:,} bounced, {found.complained:,} complained"
