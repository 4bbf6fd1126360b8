"""`scale`: the same campaign by one, two and three worker processes, and by two hosts of one each.

Which part of the machine each takes says what saturates first. A host is a network namespace with
a state directory of its own (journals, spool); all share the cores of this machine.
"""

import contextlib
import os
from collections.abc import Sequence

from app.config import settings
from app.db.session import connect
from app.errors import DependencyUnavailable
from infra.load import hosts, sinks, tenant
from infra.load.figures import Figure
from infra.load.fleet import Strength
from infra.load.hosts import HERE, Host
from infra.load.round import Round, send_campaign
from infra.load.stand import Measured, Stand

_SERVICES = ("postgres", "rabbitmq", "redis", "sink")


def measure(stand: Stand) -> Measured:
    """Send one campaign with each fleet."""
    with (
        sinks.fastest(stand.folder) as sink,
        connect(settings().database_url, role=None) as session,
        contextlib.ExitStack() as stack,
    ):
        two, kind = _two_hosts(stack)
        tenant.fill_suppressions(session, stand.sizes.suppressed)
        leads = stand.sizes.scale_leads
        rounds = [
            (name, send_campaign(session, sink, stand.folder, leads=leads, strength=strength))
            for name, strength in _fleets(two).items()
        ]
    remark = f"of {os.cpu_count()} cores; peer column: one process; the sink takes its share, too"
    facts = {name: one.facts() for name, one in rounds}
    return Measured(figures=figures(rounds), remarks=[remark, kind], facts=facts)


def _fleets(two: tuple[Host, ...]) -> dict[str, Strength]:
    return {
        "1 process": Strength(processes=1),
        "2 processes": Strength(processes=2),
        "3 processes": Strength(processes=3),
        "2 hosts of 1 process": Strength(processes=1, hosts=two),
    }


def _two_hosts(stack: contextlib.ExitStack) -> tuple[tuple[Host, ...], str]:
    """Return two hosts that live as long as the stack, and a remark that says what they are."""
    try:
        two = stack.enter_context(hosts.joined(2))
        for host in two:
            hosts.require_services(host)
    except DependencyUnavailable as error:
        return (HERE, HERE), f"hosts: two state directories on this machine, for {error.why}"
    return two, "hosts: two network namespaces beside that of the services and the clock"


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
