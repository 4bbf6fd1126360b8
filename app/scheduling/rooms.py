"""Which of the picked mails may be released under the limits of their app, queue and domain. Pure.

The limiter's answers about what it has room for go in; what it would refuse is left alone (the app
has no room) or gets the time its queue or domain may take it, so that a refused chunk stays the
exception.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from app.policy.limits import Capacity, Gate, spread
from app.scheduling.due import Pick

_SOON = dt.timedelta(seconds=1)

Move = tuple[UUID, dt.datetime, dt.datetime | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Openings:
    """What may be released now: in all, of each app that is limited, through each limited gate."""

    total: int
    apps: Mapping[UUID, int] = field(default_factory=dict)
    queues: Mapping[UUID, Gate] = field(default_factory=dict)
    domains: Mapping[tuple[UUID, str], Gate] = field(default_factory=dict)
    capacities: Mapping[Gate, Capacity] = field(default_factory=dict)

    def gates_of(self, pick: Pick) -> list[Gate]:
        """Return the gates one mail has to pass."""
        found = (
            self.queues.get(pick.queue_id),
            self.domains.get((pick.app_id, pick.to_domain)),
        )
        return [gate for gate in found if gate is not None]


def admit(
    picks: Sequence[Pick], openings: Openings, now: dt.datetime
) -> tuple[list[Pick], list[Move]]:
    """Return the mails to release, in order, and new times for those a shut gate keeps back."""
    total, apps = openings.total, dict(openings.apps)
    rooms = {gate: capacity.count for gate, capacity in openings.capacities.items()}
    going: list[Pick] = []
    waiting: dict[Gate, list[Pick]] = defaultdict(list)
    for pick in picks:
        if total <= 0 or apps.get(pick.app_id, 1) <= 0:
            continue
        gates = openings.gates_of(pick)
        shut = next((gate for gate in gates if rooms[gate] <= 0), None)
        if shut is not None:
            waiting[shut].append(pick)
            continue
        for gate in gates:
            rooms[gate] -= 1
        total -= 1
        if pick.app_id in apps:
            apps[pick.app_id] -= 1
        going.append(pick)
    moves = [
        move
        for gate, kept in waiting.items()
        for move in _moves(gate, kept, openings.capacities[gate], now)
    ]
    return going, moves


def _moves(gate: Gate, kept: Sequence[Pick], capacity: Capacity, now: dt.datetime) -> list[Move]:
    """Return when the mails behind a shut gate may try again, at the gate's own pace."""
    first = max(capacity.next_slot_at, now + _SOON)
    times = spread(first, gate.per_minute, len(kept))
    return [
        (pick.email_id, due_at, pick.window_closes_at, f"limit {gate.limit}")
        for pick, due_at in zip(kept, times, strict=True)
    ]
