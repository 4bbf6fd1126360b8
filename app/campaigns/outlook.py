"""What a campaign's future looks like: its people and mails as they stand, run through the limits.

The next mail of each person, its window and its account are found by the rules of the planner
(app/campaigns/advance); app/scheduling/forecast places them. Stored with the campaign: the first
answer at its start, the latest whenever it is asked for, and every few minutes while it runs.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from app.campaigns import prospects
from app.campaigns.advance import FIRST_LOOK
from app.campaigns.crowd import Crowd
from app.campaigns.prospects import Cohort, Setting
from app.db.session import Session
from app.scheduling.forecast import Openings, Run, Simulation
from app.scheduling.senders import Lot, Slot
from app.scheduling.shares import MINUTE_MS, Bound, Shares, millis, moment

HOUR_MS = 60 * MINUTE_MS
FRESH = dt.timedelta(minutes=5)  # the latest forecast of a running campaign is no older by much


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutlook:
    """The mails of one step that are still to go."""

    position: int
    mails: int
    first_at: dt.datetime
    last_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time in which one limit kept mails waiting; `limit` as in app/scheduling/forecast."""

    limit: str
    since: dt.datetime
    until: dt.datetime
    mails: int


class Placed(NamedTuple):
    """When a mail of the step at `position` (from 0) goes, and what it waited for if it is late."""

    at_ms: int
    position: int
    bound: Bound | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """When the mails of a campaign go. `held`: people whose next mail waits for a decision.

    `by_hour`: (hour, mails). `mails` and everything else count what is still to go.
    """

    computed_at: dt.datetime
    mails: int
    held: int
    ends_at: dt.datetime | None
    steps: tuple[StepOutlook, ...]
    stretches: tuple[Stretch, ...]
    by_hour: tuple[tuple[dt.datetime, int], ...]

    def document(self) -> dict[str, Any]:
        """Return it as it is stored and printed."""
        return {
            "computed_at": self.computed_at.isoformat(),
            "mails": self.mails,
            "held": self.held,
            "ends_at": self.ends_at.isoformat() if self.ends_at else None,
            "steps": [
                {
                    "position": step.position,
                    "mails": step.mails,
                    "first_at": step.first_at.isoformat(),
                    "last_at": step.last_at.isoformat(),
                }
                for step in self.steps
            ],
            "limits": [
                {
                    "limit": stretch.limit,
                    "from": stretch.since.isoformat(),
                    "to": stretch.until.isoformat(),
                    "mails": stretch.mails,
                }
                for stretch in self.stretches
            ],
            "by_hour": [[at.isoformat(), mails] for at, mails in self.by_hour],
        }


def places(session: Session, campaign_id: UUID, now: dt.datetime) -> list[Placed]:
    """Return when each mail that is still to go will go, in the order of time."""
    runs, _ = _runs(session, campaign_id, now)
    found = [Placed(at, run.position, run.bound) for run in runs for at in run.times]
    return sorted(found, key=lambda mail: mail.at_ms)


def outlook(session: Session, campaign_id: UUID, now: dt.datetime) -> Outlook:
    """Return the forecast of a campaign; of a draft, as if it were started now."""
    runs, held = _runs(session, campaign_id, now)
    return summary(runs, now, held)


def remember_start(session: Session, campaign_id: UUID, now: dt.datetime) -> Outlook:
    """Store the forecast a campaign starts with; the first one stays."""
    found = outlook(session, campaign_id, now)
    session.execute(
        "UPDATE campaigns SET forecast = %(doc)s, "
        "forecast_at_start = coalesce(forecast_at_start, %(doc)s) WHERE id = %(id)s",
        {"doc": Jsonb(found.document()), "id": campaign_id},
    )
    return found


def refresh(session: Session, campaign_id: UUID, now: dt.datetime) -> Outlook:
    """Compute the forecast as of now and store it as the latest."""
    found = outlook(session, campaign_id, now)
    session.execute(
        "UPDATE campaigns SET forecast = %s WHERE id = %s",
        (Jsonb(found.document()), campaign_id),
    )
    return found


_OLDEST = """
SELECT id FROM campaigns WHERE status = 'running'
  AND coalesce((forecast->>'computed_at')::timestamptz, '-infinity') < %s
ORDER BY forecast->>'computed_at' NULLS FIRST, id LIMIT 1"""


def refresh_oldest(session: Session, now: dt.datetime) -> bool:
    """Refresh the running campaign with the oldest forecast; False when none is older than FRESH."""
    row = session.execute(_OLDEST, (now - FRESH,)).fetchone()
    if row is None:
        return False
    refresh(session, row[0], now)
    return True


def latest_end(session: Session, campaign_id: UUID) -> dt.datetime | None:
    """Return when the campaign ends by its latest stored forecast; None when there is none."""
    row = session.execute(
        "SELECT forecast->>'ends_at' FROM campaigns WHERE id = %s", (campaign_id,)
    ).fetchone()
    return dt.datetime.fromisoformat(row[0]) if row and row[0] else None


def at_start(session: Session, campaign_id: UUID) -> dict[str, Any] | None:
    """Return the forecast stored at the start; None when there is none."""
    row = session.execute(
        "SELECT forecast_at_start FROM campaigns WHERE id = %s", (campaign_id,)
    ).fetchone()
    return row[0] if row else None


def _runs(session: Session, campaign_id: UUID, now: dt.datetime) -> tuple[list[Run], int]:
    """Return when the mails go, and how many people are held."""
    setting = prospects.setting(session, campaign_id, now)
    cohorts = prospects.cohorts(session, setting, now)
    held = sum(cohort.people for cohort in cohorts if cohort.due_at is None)
    return placed(setting, cohorts, prospects.rivals(session, setting, now), now), held


def placed(
    setting: Setting, cohorts: Sequence[Cohort], rivals: Sequence[Lot], now: dt.datetime
) -> list[Run]:
    """Return when the mails of these people go, `rivals` being in their way. Pure."""
    now_ms, openings, crowd = millis(now), Openings(setting.window), Crowd(setting)
    grain = max(1, sum(cohort.people for cohort in cohorts) // prospects.GRAINS)
    lots = list(crowd.lots(cohorts, openings, now_ms))
    waits_ms = [int(max(wait, FIRST_LOOK).total_seconds() * 1000) for wait in setting.waits]
    kinds = crowd.kinds

    def follow(kind: int, position: int, sent_ms: int) -> tuple[Slot, Bound | None] | None:
        if position + 1 >= len(waits_ms) or not kinds[kind].goes_on:
            return None
        due_ms = sent_ms + waits_ms[position + 1]
        slot = openings.slot(kinds[kind].zone, due_ms)
        return slot, Bound.WINDOW if slot[0] > due_ms else None

    simulation = Simulation(
        list(setting.senders.values()),
        [kind.domain for kind in kinds],
        shares=Shares(setting.shared, now_ms),
        follow=follow,
        reopen=lambda kind, at_ms: openings.slot(kinds[kind].zone, at_ms),
    )
    return simulation.run([*lots, *rivals], now_ms, grain)


def summary(runs: Sequence[Run], now: dt.datetime, held: int) -> Outlook:
    """Add up where mails were placed. Pure."""
    first: dict[int, list[int]] = {}
    hours: dict[int, int] = {}
    for run in runs:
        found = first.setdefault(run.position, [run.at_ms, run.at_ms, 0])
        found[1] = max(found[1], run.ends_at_ms)
        found[2] += run.mails
        for hour, mails in _hours(run):
            hours[hour] = hours.get(hour, 0) + mails
    return Outlook(
        computed_at=now,
        mails=sum(hours.values()),
        held=held,
        ends_at=moment(max(run.ends_at_ms for run in runs)) if runs else None,
        steps=tuple(
            StepOutlook(position=p + 1, mails=n, first_at=moment(a), last_at=moment(b))
            for p, (a, b, n) in sorted(first.items())
        ),
        stretches=tuple(_stretches(runs)),
        by_hour=tuple((moment(hour * HOUR_MS), mails) for hour, mails in sorted(hours.items())),
    )


def _hours(run: Run) -> Iterable[tuple[int, int]]:
    hour = run.at_ms // HOUR_MS
    if run.ends_at_ms // HOUR_MS == hour:
        return [(hour, run.mails)]
    return Counter(at // HOUR_MS for at in run.times).items()


def _stretches(runs: Sequence[Run]) -> Iterator[Stretch]:
    """Join the mails that one limit delayed, as long as no day passes without one."""
    running: dict[str, list[int]] = {}
    done: list[tuple[str, list[int]]] = []
    for run in runs:
        if run.bound is None:
            continue
        found = running.get(run.bound)
        if found is not None and run.at_ms - found[1] <= 24 * HOUR_MS:
            found[1], found[2] = max(found[1], run.ends_at_ms), found[2] + run.mails
            continue
        if found is not None:
            done.append((run.bound, found))
        running[run.bound] = [run.at_ms, run.ends_at_ms, run.mails]
    for limit, (since, until, mails) in sorted(
        [*done, *running.items()], key=lambda item: (item[1], item[0])
    ):
        yield Stretch(limit=str(limit), since=moment(since), until=moment(until), mails=mails)
