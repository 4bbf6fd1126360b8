"""What a campaign's future looks like: its people and mails as they stand, run through the limits.

The next mail of each person, its window and its account are found by the rules of the planner
(app/campaigns/advance); app/scheduling/forecast places them. Stored with the campaign: the first
answer at its start, the latest whenever it is asked for.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from app.campaigns import prospects
from app.campaigns.advance import FIRST_LOOK, account_for
from app.campaigns.prospects import Person, Setting
from app.db.session import Session
from app.scheduling.calendar import zone_named
from app.scheduling.forecast import Openings, Placed, Simulation, Slot, Wanted
from app.scheduling.shares import MINUTE_MS, Bound, millis, moment

HOUR_MS = 60 * MINUTE_MS


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
    setting = prospects.setting(session, campaign_id, now)
    people = list(prospects.people(session, setting, now))
    return _placed(setting, people, prospects.rivals(session, setting), now)


def outlook(session: Session, campaign_id: UUID, now: dt.datetime) -> Outlook:
    """Return the forecast of a campaign; of a draft, as if it were started now."""
    setting = prospects.setting(session, campaign_id, now)
    people = list(prospects.people(session, setting, now))
    placed = _placed(setting, people, prospects.rivals(session, setting), now)
    held = sum(1 for person in people if person.due_at is None)
    return summary(placed, now, held)


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


def at_start(session: Session, campaign_id: UUID) -> dict[str, Any] | None:
    """Return the forecast stored at the start; None when there is none."""
    row = session.execute(
        "SELECT forecast_at_start FROM campaigns WHERE id = %s", (campaign_id,)
    ).fetchone()
    return row[0] if row else None


def _placed(
    setting: Setting, people: list[Person], rivals: Iterable[Wanted], now: dt.datetime
) -> list[Placed]:
    openings = Openings(setting.window)
    zones: list[ZoneInfo] = [
        zone_named((p.timezone if setting.uses_lead_timezone else None) or setting.timezone)
        for p in people
    ]
    waits_ms = [int(max(wait, FIRST_LOOK).total_seconds() * 1000) for wait in setting.waits]

    def follow(person: int, position: int, sent_ms: int) -> tuple[Slot, Bound | None] | None:
        if position + 1 >= len(waits_ms) or not people[person].goes_on:
            return None
        due_ms = sent_ms + waits_ms[position + 1]
        slot = openings.slot(zones[person], due_ms)
        return slot, Bound.WINDOW if slot[0] > due_ms else None

    now_ms = millis(now)
    simulation = Simulation(
        list(setting.senders.values()),
        now_ms=now_ms,
        shared=setting.shared,
        follow=follow,
        reopen=lambda person, at_ms: openings.slot(zones[person], at_ms),
    )
    first = _first(setting, people, lambda i, at: openings.slot(zones[i], at), now_ms)
    return list(simulation.run([*first, *rivals]))


def _first(
    setting: Setting, people: list[Person], slot: Callable[[int, int], Slot], now_ms: int
) -> Iterator[Wanted]:
    """Yield the next mail of each person; one that is planned already has its slot."""
    numbers = {account_id: number for number, account_id in enumerate(setting.senders)}
    for index, person in enumerate(people):
        account_id = account_for(person, setting.active)
        if person.due_at is None or account_id is None or person.position >= len(setting.waits):
            continue
        due_ms = max(millis(person.due_at), now_ms)
        if person.is_planned and person.closes_at is not None:
            chosen: Slot = (due_ms, millis(person.closes_at))
        else:
            chosen = slot(index, due_ms)
        yield Wanted(
            sender=numbers[account_id],
            person=index,
            position=person.position,
            slot=chosen,
            priority=setting.priority,
            waited=Bound.WINDOW if chosen[0] > due_ms else None,
        )


def summary(placed: list[Placed], now: dt.datetime, held: int) -> Outlook:
    """Add up where mails were placed. Pure."""
    first: dict[int, list[int]] = {}
    hours: dict[int, int] = {}
    for mail in placed:
        found = first.setdefault(mail.position, [mail.at_ms, mail.at_ms, 0])
        found[1], found[2] = mail.at_ms, found[2] + 1
        hour = mail.at_ms // HOUR_MS
        hours[hour] = hours.get(hour, 0) + 1
    return Outlook(
        computed_at=now,
        mails=len(placed),
        held=held,
        ends_at=moment(placed[-1].at_ms) if placed else None,
        steps=tuple(
            StepOutlook(position=p + 1, mails=n, first_at=moment(a), last_at=moment(b))
            for p, (a, b, n) in sorted(first.items())
        ),
        stretches=tuple(_stretches(placed)),
        by_hour=tuple((moment(hour * HOUR_MS), mails) for hour, mails in sorted(hours.items())),
    )


def _stretches(placed: list[Placed]) -> Iterator[Stretch]:
    """Join the mails that one limit delayed, as long as no day passes without one."""
    running: dict[str, list[int]] = {}
    done: list[tuple[str, list[int]]] = []
    for mail in placed:
        if mail.bound is None:
            continue
        found = running.get(mail.bound)
        if found is not None and mail.at_ms - found[1] <= 24 * HOUR_MS:
            found[1], found[2] = mail.at_ms, found[2] + 1
            continue
        if found is not None:
            done.append((mail.bound, found))
        running[mail.bound] = [mail.at_ms, mail.at_ms, 1]
    for limit, (since, until, mails) in sorted(
        [*done, *running.items()], key=lambda item: (item[1], item[0])
    ):
        yield Stretch(limit=str(limit), since=moment(since), until=moment(until), mails=mails)
