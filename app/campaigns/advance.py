"""How one lead goes on in a campaign: wait, stop, or the next mail, its time and its content. Pure.

The rules read what was found out in bulk (app/campaigns/sequence) and return what is to be stored.
"""

import datetime as dt
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, assert_never
from uuid import UUID

from app.lifecycle.intake import PlannedMail
from app.lifecycle.states import State
from app.mail.address import domain_of
from app.scheduling.calendar import Window, next_open, zone_named

# Between two looks at a mail that is still waiting, unknown, or cannot be planned.
RECHECK = dt.timedelta(seconds=5)
RECHECK_LONGEST = dt.timedelta(minutes=10)
HOLD = dt.timedelta(seconds=60)
FIRST_LOOK = dt.timedelta(seconds=2)

_ALIASES = (("first_name", "firstName"), ("last_name", "lastName"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One content of a step and its share among the others."""

    template_version_id: UUID
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One mail of the sequence, `wait` after the one before was sent."""

    id: UUID
    wait: dt.timedelta
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the mails of one running campaign share. `accounts` are the active ones, in order.

    `is_staged`: a first stage decides which of the first mails go (app/campaigns/stages).
    """

    campaign_id: UUID
    app_id: UUID
    company_id: UUID | None
    queue_id: UUID
    priority: int
    window: Window
    timezone: str
    uses_lead_timezone: bool
    steps: tuple[Step, ...]
    accounts: tuple[UUID, ...]
    is_staged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The mail of the step before. `due_at` is None once it is released, or while it is parked."""

    state: State
    sent_at: dt.datetime | None
    due_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A lead whose next step is due, and the lead's facts."""

    id: UUID
    campaign_id: UUID
    lead_id: UUID
    account_id: UUID
    steps_planned: int
    last_email_id: UUID | None
    due_at: dt.datetime
    email: str
    email_hash: bytes
    timezone: str | None
    variables: Mapping[str, Any]
    lead_status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Nothing to do before `at`."""

    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The lead gets no more mails of this campaign."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The next mail, and when the lead is looked at again (None: it was the last one)."""

    mail: PlannedMail
    look_at: dt.datetime | None


def advance(
    enrolled: Enrolled, plan: Plan, previous: Previous | None, email_id: str, now: dt.datetime
) -> Later | Stop | Next:
    """Decide how one enrolment goes on; `email_id` is the id of its next mail, should it get one."""
    if enrolled.lead_status != "active":
        return Stop(reason=f"lead {enrolled.lead_status}")
    if enrolled.steps_planned >= len(plan.steps):
        return Stop(reason="the sequence has no further step")
    step = plan.steps[enrolled.steps_planned]
    ready = now if previous is None else due_after(previous, step.wait, enrolled.due_at, now)
    match ready:
        case Later() | Stop():
            return ready
        case dt.datetime():
            return _next(enrolled, plan, email_id, max(ready, now))
        case _:
            assert_never(ready)


def due_after(
    previous: Previous, wait: dt.timedelta, looked_at: dt.datetime, now: dt.datetime
) -> Later | Stop | dt.datetime:
    """Return when the step after `previous` is due, once it is; `looked_at` is this look's time."""
    match previous.state:
        case State.SCHEDULED | State.QUEUED | State.SENDING:
            # Ever rarer looks at a mail that is late: it waits for a limit, or the server is away.
            pause = min(max(RECHECK, (now - looked_at) / 2), RECHECK_LONGEST)
            return Later(at=max(now + pause, previous.due_at or now))
        case State.UNKNOWN:
            return Later(at=now + HOLD)
        case State.SENT | State.DELIVERED:
            due = (previous.sent_at or now) + wait
            return Later(at=due) if due > now else due
        case (
            State.FAILED
            | State.BOUNCED
            | State.COMPLAINED
            | State.CANCELLED
            | State.SUPPRESSED
            | State.EXPIRED
        ):
            return Stop(reason=f"the mail before was {previous.state}")
        case _:
            assert_never(previous.state)


def variant_for(step: Step, lead_id: UUID) -> Variant:
    """Return the lead's variant of a step: always the same one, by weight over all leads."""
    if len(step.variants) == 1:
        return step.variants[0]
    total = sum(variant.weight for variant in step.variants)
    ticket = zlib.crc32(lead_id.bytes + step.id.bytes) % total
    for variant in step.variants:
        ticket -= variant.weight
        if ticket < 0:
            return variant
    raise AssertionError(step)  # the ticket is below the sum of the weights


class Assigned(Protocol):
    """A lead with the account it was given."""

    @property
    def lead_id(self) -> UUID:
        """The lead."""

    @property
    def account_id(self) -> UUID:
        """Its account, as long as that one is active."""


def account_for(enrolled: Assigned, accounts: Sequence[UUID]) -> UUID | None:
    """Return the lead's account, or another active one of the campaign; None when none is."""
    if enrolled.account_id in accounts or not accounts:
        return enrolled.account_id if accounts else None
    return accounts[zlib.crc32(enrolled.lead_id.bytes) % len(accounts)]


def snapshot(email: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of a mail: the lead's own, its address, and both spellings of names."""
    seen = {**variables, "email": email}
    for snake, camel in _ALIASES:
        value = seen.get(snake, seen.get(camel))
        if value is not None:
            seen.setdefault(snake, value)
            seen.setdefault(camel, value)
    return seen


def _next(enrolled: Enrolled, plan: Plan, email_id: str, at: dt.datetime) -> Later | Next:
    account_id = account_for(enrolled, plan.accounts)
    if account_id is None:
        return Later(at=at + HOLD)
    step = plan.steps[enrolled.steps_planned]
    zone = (enrolled.timezone if plan.uses_lead_timezone else None) or plan.timezone
    slot = next_open(plan.window, zone_named(zone), at)
    variables = snapshot(enrolled.email, enrolled.variables)
    mail = PlannedMail(
        id=email_id,
        app_id=plan.app_id,
        company_id=plan.company_id,
        queue_id=plan.queue_id,
        account_id=account_id,
        template_version_id=variant_for(step, enrolled.lead_id).template_version_id,
        campaign_id=plan.campaign_id,
        step_id=step.id,
        enrolment_id=enrolled.id,
        lead_id=enrolled.lead_id,
        to_email=enrolled.email,
        to_name=_full_name(variables),
        to_domain=domain_of(enrolled.email),
        to_hash=enrolled.email_hash,
        variables=variables,
        priority=plan.priority,
        due_at=slot.opens_at,
        window_closes_at=slot.closes_at,
    )
    return Next(mail=mail, look_at=_next_look(plan, enrolled.steps_planned + 1, slot.opens_at))


def _next_look(plan: Plan, position: int, sent_at: dt.datetime) -> dt.datetime | None:
    """Return when the step at `position` is due at the earliest; None past the end."""
    if position >= len(plan.steps):
        return None
    return sent_at + max(plan.steps[position].wait, FIRST_LOOK)


def _full_name(variables: Mapping[str, Any]) -> str | None:
    parts = [str(variables[name]) for name in ("first_name", "last_name") if name in variables]
    return " ".join(parts).strip() or None
