"""What the limits leave to be released now: the limiter's answers minus what is in flight."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from actors import runtime
from app.clock import utc_now
from app.config import Settings
from app.db.session import Session
from app.lifecycle import chunks
from app.policy import pacing
from app.policy.limits import (
    AccountQuota,
    AppLimits,
    Capacity,
    Gate,
    app_gate,
    domain_gate,
    global_gate,
    queue_gate,
)
from app.scheduling import due
from app.scheduling.due import DueAccount
from app.scheduling.rooms import Openings

_HORIZON_MS = 1_000  # what limits grant within this time is released ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """How many mails each due account may have released, and what its mails have to pass."""

    rooms: Mapping[UUID, int]
    openings: Openings


def survey(
    session: Session,
    config: Settings,
    accounts: Sequence[DueAccount],
    by_account: Mapping[UUID, int],
    limit: int,
) -> Survey:
    """Ask the limiter, in two round trips; raises DependencyUnavailable: then nothing is released."""
    openings = _openings(session, config, accounts, by_account, limit)
    on = utc_now().date()
    quotas = [AccountQuota(account_id=a.account_id, limits=a.limits(on)) for a in accounts]
    capacities = runtime.limiter().peek(quotas, _HORIZON_MS)
    rooms = {}
    for account in accounts:
        room = capacities[account.account_id].count
        if not account.limits(on).is_unlimited:
            room -= by_account.get(account.account_id, 0)
        if account.is_probing:
            room = min(room, 1 - by_account.get(account.account_id, 0))
        top = min(openings.total, openings.apps.get(account.app_id, limit))
        rooms[account.account_id] = max(0, min(top, room))
    return Survey(rooms=rooms, openings=openings)


def _openings(
    session: Session,
    config: Settings,
    accounts: Sequence[DueAccount],
    by_account: Mapping[UUID, int],
    limit: int,
) -> Openings:
    apps = {account.app_id: account.app_limits for account in accounts}
    queues = {
        queue_id: queue_gate(queue_id, per_minute)
        for queue_id, per_minute in due.limited_queues(session, list(apps)).items()
    }
    domains = _domain_gates(session, list(apps), utc_now())
    above = _gates_above(config, apps)
    gates = [*queues.values(), *domains.values(), *above.values()]
    by_quota, by_gate = runtime.limiter().openings(apps, gates, _HORIZON_MS)
    flying_apps, flying_queues = chunks.in_flight_within(
        session, [app_id for app_id in apps if app_id in above or apps[app_id].has_quota], queues
    )
    rooms = {
        app_id: min(capacity.count for capacity in known) - flying_apps.get(app_id, 0)
        for app_id in apps
        if (known := _known(app_id, by_quota, by_gate, above))
    }
    total = limit
    if None in above:
        total = min(limit, by_gate[above[None]].count - sum(by_account.values()))
    for queue_id, gate in queues.items():
        by_gate[gate] = _less(by_gate[gate], flying_queues.get(queue_id, 0))
    return Openings(total=total, apps=rooms, queues=queues, domains=domains, capacities=by_gate)


def _gates_above(config: Settings, apps: Mapping[UUID, AppLimits]) -> dict[UUID | None, Gate]:
    """Return the gate of each app that has one; None is the gate of everything."""
    found: dict[UUID | None, Gate] = {
        app_id: app_gate(app_id, limits.per_minute)
        for app_id, limits in apps.items()
        if limits.per_minute is not None
    }
    if config.global_per_minute:
        found[None] = global_gate(config.global_per_minute)
    return found


def _domain_gates(
    session: Session, app_ids: Sequence[UUID], now: dt.datetime
) -> dict[tuple[UUID, str], Gate]:
    return {
        (app_id, domain): domain_gate(app_id, domain, pace.per_minute)
        for (app_id, domain), pace in pacing.paces_of(session, app_ids, now).items()
    }


def _known(
    app_id: UUID,
    by_quota: Mapping[UUID, Capacity],
    by_gate: Mapping[Gate, Capacity],
    above: Mapping[UUID | None, Gate],
) -> list[Capacity]:
    found = [by_quota[app_id]] if app_id in by_quota else []
    return found + ([by_gate[above[app_id]]] if app_id in above else [])


def _less(capacity: Capacity, under_way: int) -> Capacity:
    return Capacity(count=capacity.count - under_way, next_slot_at=capacity.next_slot_at)
