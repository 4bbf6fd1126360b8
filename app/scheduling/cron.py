"""Cron expressions in a time zone: when they run next, and how a person says so. Pure.

A wall time that the spring change skips runs right after it; one that the autumn change repeats
runs once (cronsim follows Debian's cron).
"""

import datetime as dt
import itertools
from collections.abc import Iterator

from cronsim import CronSim, CronSimError

from app.errors import InputInvalid
from app.scheduling.calendar import zone_named

_FIELDS = 5
_EPOCH = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)  # only asked whether and how, not when
_MOST_MISSED = 1_000


def checked(expression: str) -> str:
    """Return a cron expression in one spelling; raises InputInvalid (field cron)."""
    words = expression.split()
    if len(words) != _FIELDS:
        raise _refused(expression, f"It has {len(words)} fields instead of {_FIELDS}.")
    try:
        next(CronSim(" ".join(words), _EPOCH))
    except (CronSimError, StopIteration) as error:
        raise _refused(expression, f"{error or 'It names no day that exists'}.") from error
    return " ".join(words)


def runs_after(expression: str, timezone: str, after: dt.datetime) -> Iterator[dt.datetime]:
    """Yield the runs after a moment, in UTC; ends when there is none within 50 years."""
    local = after.astimezone(zone_named(timezone))
    for run in CronSim(expression, local):
        yield run.astimezone(dt.UTC)


def next_run(expression: str, timezone: str, after: dt.datetime) -> dt.datetime | None:
    """Return the first run after a moment, in UTC."""
    return next(runs_after(expression, timezone, after), None)


def due_runs(
    expression: str, timezone: str, first: dt.datetime, now: dt.datetime
) -> tuple[dt.datetime, int]:
    """Return the latest run of those from `first` to `now`, and how many before it were missed.

    Counts at most 1,000: a job of every minute after a long downtime.
    """
    latest, missed = first, 0
    passed = itertools.takewhile(lambda run: run <= now, runs_after(expression, timezone, first))
    for run in itertools.islice(passed, _MOST_MISSED):
        latest, missed = run, missed + 1
    return latest, missed


def in_words(expression: str, timezone: str) -> str:
    """Return how a person says it: `At 09:00 on Monday, Europe/Berlin`."""
    return f"{CronSim(expression, _EPOCH).explain()}, {timezone}"


def _refused(expression: str, why: str) -> InputInvalid:
    return InputInvalid(
        f"{expression[:60]!r} is no cron expression that ever runs.",
        why=why,
        fix="Write minute, hour, day of month, month, day of week: 0 9 * * MON.",
        field="cron",
    )
