"""When a sending window is open, in local wall time, right across clock changes. Pure.

A wall time becomes the first moment at which the local clock shows it or later: a time that a
spring change skips moves to the first existing moment after it, a time that an autumn change
repeats counts once, the first time. So 09:00 stays 09:00 and nothing opens twice.
"""

import datetime as dt
import difflib
import functools
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.errors import InputInvalid

EVERY_DAY = frozenset(range(1, 8))

_DAY = dt.timedelta(days=1)
_SECOND = dt.timedelta(seconds=1)
_MIDNIGHT = dt.time()
# A weekly window may lose one of its weeks to a clock change; a fortnight finds the next one.
_HORIZON_DAYS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The local hours [start, end) of the ISO days (1 = Monday) on which they begin.

    `end` before `start` runs past midnight; both None means the whole day.
    """

    days: frozenset[int] = EVERY_DAY
    start: dt.time | None = None
    end: dt.time | None = None

    def __post_init__(self) -> None:
        if not self.days or not self.days <= EVERY_DAY:
            raise InputInvalid(
                "The sending window names no day that exists.",
                fix="Give ISO days from 1 (Monday) to 7 (Sunday).",
                field="days",
            )
        if (self.start is None) != (self.end is None) or (
            self.start is not None and self.start == self.end
        ):
            raise InputInvalid(
                "The sending window needs a start and a different end.",
                fix="Give both, such as 09:00 and 17:00, or neither for the whole day.",
                field="start",
            )

    @property
    def is_always_open(self) -> bool:
        """Nothing is ever outside."""
        return self.start is None and self.days == EVERY_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A stretch of time inside a window, in UTC; `closes_at` None means it never closes."""

    opens_at: dt.datetime
    closes_at: dt.datetime | None


def next_open(window: Window, zone: ZoneInfo, at: dt.datetime) -> Slot:
    """Return the first moment >= `at` inside the window, and when the window closes after it."""
    if window.start is None and window.days == EVERY_DAY:
        return Slot(opens_at=at, closes_at=None)
    for opens_at, closes_at in _agenda(window, zone, at.astimezone(zone).date()):
        if at < closes_at:
            return Slot(opens_at=max(at, opens_at), closes_at=closes_at)
    raise AssertionError(window, zone, at)  # an agenda ends with a stretch after its day


@functools.lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    """Return the IANA zone `name`; raises InputInvalid suggesting the nearest name."""
    if name in _zone_names().values():
        return ZoneInfo(name)
    wanted = name.strip().replace(" ", "_").casefold()
    near = difflib.get_close_matches(wanted, _zone_names(), n=1, cutoff=0.5)
    hint = f"Did you mean {_zone_names()[near[0]]}?" if near else "Use a name like Europe/Berlin."
    raise InputInvalid(f"Timezone '{name}' is unknown.", fix=hint, field="timezone")


@functools.cache
def _zone_names() -> dict[str, str]:
    """Return every IANA name, by its case-folded form."""
    return {name.casefold(): name for name in sorted(zoneinfo.available_timezones())}


@functools.lru_cache(maxsize=16_384)
def _agenda(
    window: Window, zone: ZoneInfo, day: dt.date
) -> tuple[tuple[dt.datetime, dt.datetime], ...]:
    """Return the stretches that cover the local `day`, up to the first one after it."""
    end_of_day = _moment(day + _DAY, _MIDNIGHT, zone)
    agenda = []
    for stretch in _stretches(window, zone, day):
        agenda.append(stretch)
        if stretch[1] > end_of_day and stretch[0] >= end_of_day:
            break
    return tuple(agenda)


def _stretches(
    window: Window, zone: ZoneInfo, day: dt.date
) -> Iterator[tuple[dt.datetime, dt.datetime]]:
    """Yield the open stretches from the day before `day`; those that touch are one."""
    current: tuple[dt.datetime, dt.datetime] | None = None
    for offset in range(-1, _HORIZON_DAYS):
        opens_at, closes_at = _on_day(window, zone, day + offset * _DAY)
        if opens_at >= closes_at:
            continue
        if current and current[1] == opens_at:
            current = (current[0], closes_at)
            continue
        if current:
            yield current
        current = (opens_at, closes_at)
    if current:
        yield current


def _on_day(window: Window, zone: ZoneInfo, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """Return the stretch that begins on the local `day`; empty when the day is not listed."""
    start, end = window.start or _MIDNIGHT, window.end or _MIDNIGHT
    opens_at = _moment(day, start, zone)
    if day.isoweekday() not in window.days:
        return opens_at, opens_at
    return opens_at, _moment(day if start < end else day + _DAY, end, zone)


def _moment(day: dt.date, wall: dt.time, zone: ZoneInfo) -> dt.datetime:
    """Return the first UTC moment at which the clock of `zone` shows this wall time or later."""
    local = dt.datetime.combine(day, wall, zone)
    moment = local.astimezone(dt.UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # The wall time does not exist: fold 1 reads it by the offset after the change, which lies
    # before the change, fold 0 the other way round. Between the two stands the change.
    before, after = local.replace(fold=1).astimezone(dt.UTC), moment
    offset = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)
