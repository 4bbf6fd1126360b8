"""When a sender is warned, slowed or held for what its mail met with: rules as data. Pure.

A sender is an account, or an app as a whole. Every rule asks for a smallest sample and a smallest
number of events: one complaint about ten mails is bad luck. Nothing flaps: a milder rule takes over
only when the rate has fallen well below the one that holds, and not within the hour; a hold ends
by a person alone.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

VERSION = 1  # of the rules that stand here, stored beside each decision

# A rule is left when the rate is below this share of what it takes to enter it.
_EASE = 0.7
_CALM = dt.timedelta(hours=1)
_LEAST_PER_HOUR = 60  # mails: the slowest a sender gets


class Level(StrEnum):
    """How a sender stands, from well to badly."""

    GOOD = "good"
    WARNED = "warned"
    SLOWED = "slowed"
    HELD = "held"


class Measure(StrEnum):
    """What is held against a sender: a share of the mails that servers answered."""

    COMPLAINED = "complained"
    BOUNCED = "bounced"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What a sender's mail met with in one time. `sent`: mails a server took or refused for good.

    `blocked`: refused because of the sender, not of the recipient.
    """

    sent: int = 0
    bounced: int = 0
    complained: int = 0
    blocked: int = 0

    def count(self, measure: Measure) -> int:
        """Return how many mails count against the sender."""
        match measure:
            case Measure.COMPLAINED:
                return self.complained
            case Measure.BOUNCED:
                return self.bounced
            case Measure.BLOCKED:
                return self.blocked

    def rate(self, measure: Measure) -> float:
        """Return their share; 0 without mail."""
        return self.count(measure) / self.sent if self.sent else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The shares at which something happens (settings), and the smallest sample they hold for."""

    least_mails: int = 100
    complaints_warn: float = 0.001
    complaints_hold: float = 0.003
    bounces_warn: float = 0.02
    bounces_slow: float = 0.05
    blocks_slow: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """From the share `at` on, with `least` mails or more that count: the sender gets `level`.

    `pace`: per cent of its busiest hour that a slowed sender keeps.
    """

    id: str
    level: Level
    measure: Measure
    at: float
    least: int
    pace: int | None = None

    def holds(self, conduct: Conduct, least_mails: int, ease: float = 1.0) -> bool:
        """Tell whether a time's conduct falls under the rule, its share times `ease`."""
        count = conduct.count(self.measure)
        return (
            conduct.sent >= least_mails
            and count >= self.least
            and conduct.rate(self.measure) >= self.at * ease
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a sender stands since `changed_at`, by which rule, and why in words."""

    level: Level = Level.GOOD
    rule: str | None = None
    reason: str | None = None
    changed_at: dt.datetime


def rules(t: Thresholds) -> tuple[Rule, ...]:
    """Return the rules, the worst first: the first that holds decides."""
    complained, bounced, blocked = Measure.COMPLAINED, Measure.BOUNCED, Measure.BLOCKED
    held, warned = Level.HELD, Level.WARNED
    return (
        Rule(id="complaints.hold", level=held, measure=complained, at=t.complaints_hold, least=3),
        _slow("bounces.slow-10", bounced, 4 * t.bounces_slow, 10),
        _slow("bounces.slow-25", bounced, 2 * t.bounces_slow, 25),
        _slow("blocks.slow-25", blocked, 5 * t.blocks_slow, 25),
        _slow("bounces.slow-50", bounced, t.bounces_slow, 50),
        _slow("blocks.slow-50", blocked, t.blocks_slow, 50),
        Rule(id="complaints.warn", level=warned, measure=complained, at=t.complaints_warn, least=2),
        Rule(id="bounces.warn", level=warned, measure=bounced, at=t.bounces_warn, least=2),
    )


def _slow(name: str, measure: Measure, at: float, pace: int) -> Rule:
    return Rule(id=name, level=Level.SLOWED, measure=measure, at=at, least=3, pace=pace)


def judge(
    before: Standing, windows: Mapping[str, Conduct], thresholds: Thresholds, now: dt.datetime
) -> Standing:
    """Return how a sender stands after what it did in the `windows` (by name, such as 24 h)."""
    if before.level is Level.HELD:
        return before
    table, least = rules(thresholds), thresholds.least_mails
    found = _first(table, windows, least)
    rank = len(table) if found is None else table.index(found)
    kept = next((rule for rule in table if rule.id == before.rule), None)
    if kept is not None and table.index(kept) <= rank:
        is_calm = now - before.changed_at >= _CALM
        lasts = any(kept.holds(conduct, least, _EASE) for conduct in windows.values())
        if found is kept or lasts or not is_calm:
            return before
    if found is None:
        return before if before.level is Level.GOOD else Standing(changed_at=now)
    why = _reason(found, windows, least)
    return Standing(level=found.level, rule=found.id, reason=why, changed_at=now)


def pace_of(rule_id: str | None, busiest_hour: int, thresholds: Thresholds) -> int | None:
    """Return the mails an hour a sender may send under a rule; None = the rule slows nobody."""
    rule = next((rule for rule in rules(thresholds) if rule.id == rule_id), None)
    if rule is None or rule.pace is None:
        return None
    return max(_LEAST_PER_HOUR, busiest_hour * rule.pace // 100)


def _first(table: Sequence[Rule], windows: Mapping[str, Conduct], least_mails: int) -> Rule | None:
    return next(
        (r for r in table if any(r.holds(one, least_mails) for one in windows.values())), None
    )


def _reason(rule: Rule, windows: Mapping[str, Conduct], least_mails: int) -> str:
    name, one = next((name, one) for name, one in windows.items() if rule.holds(one, least_mails))
    said = f"{one.rate(rule.measure):.2%} {rule.measure} ({one.count(rule.measure):,} of {one.sent:,} mails in {name})"
    return f"{said}; the limit is {rule.at:.2%} (rule {rule.id}, version {VERSION})"
