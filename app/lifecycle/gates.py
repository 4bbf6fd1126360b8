"""The gates a mail has to pass, in the order in which the pipeline asks them. Pure.

Each function reads the facts of one mail (the row that app/lifecycle/explain selects) and says what
the gate says now. A new gate is one more function here, named in GATES.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.lifecycle.states import State

Facts = Mapping[str, Any]


class Verdict(StrEnum):
    """What a gate says. UNUSED: it does not concern this mail."""

    PASS = "pass"  # noqa: S105 - a gate that is open, no password
    WAIT = "wait"
    STOP = "stop"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate. `value` in words; `set_by` = who set it last; `next_at` when it opens, if known."""

    name: str
    value: str
    verdict: Verdict
    set_by: str | None = None
    next_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the limits of a mail's account and queue say now; `binding` names one that is full."""

    may_go: bool
    value: str
    binding: str | None = None
    next_at: dt.datetime | None = None


def next_time(asked: tuple[Gate, ...]) -> dt.datetime | None:
    """Return when the last of the waiting gates opens; None when one stops or does not say."""
    waits = [gate for gate in asked if gate.verdict is Verdict.WAIT]
    times = [gate.next_at for gate in waits if gate.next_at is not None]
    if any(gate.verdict is Verdict.STOP for gate in asked) or len(times) < len(waits):
        return None
    return max(times, default=None)


def limits(opening: Opening | None) -> Gate:
    """Return the gate of the limits; None = Redis is away."""
    if opening is None:
        return Gate(name="limits", value="Redis is away: sending waits", verdict=_WAITS)
    return Gate(
        name="limits",
        value=f"{opening.value}; {opening.binding} is full" if opening.binding else opening.value,
        verdict=_open_when(opening.may_go),
        next_at=None if opening.may_go else opening.next_at,
    )


def _open_when(is_open: bool) -> Verdict:  # noqa: FBT001 - a fact turned into a word
    return Verdict.PASS if is_open else Verdict.WAIT


def _app(facts: Facts, _now: dt.datetime) -> Gate:
    value = f"{facts['app_name']} is {facts['app_status']}"
    return Gate(name="app", value=value, verdict=_open_when(facts["app_status"] == "active"))


def _campaign(facts: Facts, _now: dt.datetime) -> Gate:
    if facts["campaign_id"] is None:
        return Gate(name="campaign", value="none", verdict=Verdict.UNUSED)
    status = facts["campaign_status"]
    value = f"{facts['campaign_name']} is {status}"
    if status == "cancelled":
        return Gate(name="campaign", value=value, verdict=Verdict.STOP)
    # A finished campaign keeps no mail back: its last ones may still be deferred.
    is_open = status in ("running", "finished") and not facts["is_parked"]
    return Gate(name="campaign", value=value, verdict=_open_when(is_open))


def _stage(facts: Facts, _now: dt.datetime) -> Gate:
    """Say whether the mail waits until its campaign's first mails have been watched."""
    phase, until = facts["stage_phase"], facts["stage_until"]
    if phase is None:
        return Gate(name="stage", value="released whole", verdict=Verdict.UNUSED)
    value = f"{facts['stage_size'] or 0:,} mails ({float(facts['stage_percent']):g} %) go first"
    value += f"; the release is {_PHASES[phase]}"
    if phase == "watched":
        value += f" until {until:%Y-%m-%d %H:%M} UTC"
    if facts["stage_reason"]:
        value += f": {facts['stage_reason']}"
    if not facts["is_staged"]:
        return Gate(name="stage", value=value, verdict=Verdict.PASS)
    next_at = until if phase == "watched" else None
    return Gate(name="stage", value=value, verdict=Verdict.WAIT, next_at=next_at)


def _queue(facts: Facts, _now: dt.datetime) -> Gate:
    value = f"{facts['queue_name']} is {facts['queue_status']}"
    return Gate(name="queue", value=value, verdict=_open_when(facts["queue_status"] != "paused"))


def _window(facts: Facts, now: dt.datetime) -> Gate:
    closes_at, due_at = facts["window_closes_at"], facts["due_at"]
    if closes_at is None:
        return Gate(name="window", value="always open", verdict=Verdict.PASS)
    hours = f"{facts['window_start'] or '00:00'} to {facts['window_end'] or '24:00'}"
    days = ", ".join(_DAYS[day] for day in sorted(facts["window_days"] or ()))
    value = f"{days} {hours} local; this one closes {closes_at:%Y-%m-%d %H:%M} UTC"
    if closes_at <= now:
        return Gate(name="window", value=f"{value}: missed, it goes in the next", verdict=_WAITS)
    if due_at is not None and due_at > now and facts["attempt"] == 0:
        return Gate(name="window", value=value, verdict=_WAITS, next_at=due_at)
    return Gate(name="window", value=value, verdict=Verdict.PASS)


def _account(facts: Facts, _now: dt.datetime) -> Gate:
    value = f"{facts['address']} is {facts['account_status']}"
    return Gate(
        name="account", value=value, verdict=_open_when(facts["account_status"] == "active")
    )


def _reputation(facts: Facts, _now: dt.datetime) -> Gate:
    """Name the account or app whose mail bounced or was complained about too often."""
    said, verdict = [], Verdict.PASS
    for kind, who in (("app", facts["app_name"]), ("account", facts["address"])):
        level, per_hour = facts[f"{kind}_level"], facts[f"{kind}_per_hour"]
        if level in {None, "good"}:
            continue
        pace = f" to {per_hour:,} mails an hour" if per_hour else ""
        said.append(f"{who} is {level}{pace}: {facts[f'{kind}_reason']}")
        if level == "held":
            verdict = Verdict.WAIT
    value = "; ".join(said) or "nothing is held against the sender"
    return Gate(name="reputation", value=value, verdict=verdict)


def _breaker(facts: Facts, _now: dt.datetime) -> Gate:
    where = f"{facts['host']}:{facts['port']}"
    if facts["breaker_phase"] in {None, "closed"}:
        return Gate(name="breaker", value=f"{where} answers", verdict=Verdict.PASS)
    value = f"{where} is {facts['breaker_phase']}: {facts['breaker_reason']}"
    return Gate(
        name="breaker", value=value, verdict=Verdict.WAIT, next_at=facts["breaker_probe_at"]
    )


def _suppression(facts: Facts, _now: dt.datetime) -> Gate:
    if facts["suppressed"]:
        value = f"the recipient is suppressed: {facts['suppressed']}"
        return Gate(name="suppression", value=value, verdict=Verdict.STOP)
    return Gate(name="suppression", value="not suppressed", verdict=Verdict.PASS)


def _expiry(facts: Facts, now: dt.datetime) -> Gate:
    expires_at = facts["expires_at"]
    if expires_at is None:
        return Gate(name="expiry", value="never expires", verdict=Verdict.PASS)
    verdict = Verdict.STOP if expires_at <= now else Verdict.PASS
    return Gate(name="expiry", value=f"{expires_at:%Y-%m-%d %H:%M:%S} UTC", verdict=verdict)


def _attempts(facts: Facts, now: dt.datetime) -> Gate:
    delays, due_at = facts["retry_delays_s"] or [], facts["due_at"]
    most = "until too old" if facts["max_deferral_age_s"] else f"of {len(delays) + 1}"
    value = f"{facts['attempt']} {most}"
    if due_at is not None and due_at > now:
        why = facts["reason"] or "due later"
        return Gate(name="attempts", value=f"{value}; {why}", verdict=_WAITS, next_at=due_at)
    return Gate(name="attempts", value=value, verdict=Verdict.PASS)


def _lease(facts: Facts, now: dt.datetime) -> Gate:
    until = facts["lease_until"]
    if facts["status"] == State.QUEUED:
        value = f"released {facts['queued_at']:%H:%M:%S} UTC, on its way through the stages"
        return Gate(name="lease", value=value, verdict=Verdict.PASS)
    if until is None:
        return Gate(name="lease", value="no worker holds it", verdict=Verdict.PASS)
    value = f"held by {facts['claimed_by']} until {until:%H:%M:%S} UTC"
    if until <= now:
        value += ": ran out, the sweeper settles it"
    return Gate(name="lease", value=value, verdict=_WAITS, next_at=max(until, now))


_WAITS = Verdict.WAIT
_PHASES = {
    "planned": "not begun",
    "first": "at its first mails",
    "watched": "watched",
    "open": "open to all",
    "braked": "braked",
}
_DAYS = ("", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

# In the order in which the pipeline asks them; the limits stand after the account.
GATES: tuple[Callable[[Facts, dt.datetime], Gate], ...] = (
    _app,
    _campaign,
    _stage,
    _queue,
    _window,
    _account,
    _reputation,
    _breaker,
    _suppression,
    _expiry,
    _attempts,
    _lease,
)

# Whose audit entries sign a gate: the column of the row that names the thing.
TARGETS = {
    "app": "app_id",
    "campaign": "campaign_id",
    "stage": "campaign_id",
    "queue": "queue_id",
    "window": "campaign_id",
    "account": "account_id",
    "limits": "account_id",
    "reputation": "account_id",
    "attempts": "queue_id",
    "breaker": "smtp_id",
}
