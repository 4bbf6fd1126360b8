"""`scale`: the same campaign by one, two and three worker processes, and by two hosts of one each.

Which part of the machine each takes says what saturates first. A second host is a fleet with a
state directory of its own (journals, spool): the services listen on loopback alone, so it runs here.
"""

import os
from collections.abc import Sequence

from app.config import settings
from app.db.session import connect
from infra.load import sinks, tenant
from infra.load.figures import Figure
from infra.load.fleet import Strength
from infra.load.round import Round, send_campaign
from infra.load.stand import Measured, Stand

_FLEETS = {
    "1 process": Strength(processes=1),
    "2 processes": Strength(processes=2),
    "3 processes": Strength(processes=3),
    "2 hosts of 1 process": Strength(processes=1, hosts=2),
}
_SERVICES = ("postgres", "rabbitmq", "redis", "sink")


def measure(stand: Stand) -> Measured:
    """Send one campaign with each fleet."""
    with (
        sinks.fastest(stand.folder) as sink,
        connect(settings().database_url, role=None) as session,
    ):
        tenant.fill_suppressions(session, stand.sizes.suppressed)
        leads = stand.sizes.scale_leads
        rounds = [
            (name, send_campaign(session, sink, stand.folder, leads=leads, strength=strength))
            for name, strength in _FLEETS.items()
        ]
    remark = f"of {os.cpu_count()} cores; peer column: one process; the sink takes its share, too"
    facts = {name: one.facts() for name, one in rounds}
    return Measured(figures=figures(rounds), remarks=[remark], facts=facts)


def figures(rounds: Sequence[tuple[str, Round]]) -> list[Figure]:
    """Return the rate of each fleet against the first, and how many cores everyone kept busy."""
    _, first = rounds[0]
    found = []
    for name, one in rounds:
        other = None if one is first else first.per_s
        found.append(Figure(name=f"{name}, mails/s", ours=one.per_s, unit="/s", other=other))
        found += [
            Figure(name=f"{name}, cores of {who}", ours=cores(one, who), unit="")
            for who in ("workers", *(who for who in _SERVICES if who in one.spent.by_name))
        ]
    return found


def cores(one: Round, who: str) -> float:
    """Return how many cores a part kept busy on average: CPU milliseconds per mail, mails per second.

    The workers of all hosts are one part.
    """
    names = [name for name in one.spent.by_name if name == who or name.startswith(f"{who} of host")]
    return one.spent.of(*names) * one.per_s / 1000
