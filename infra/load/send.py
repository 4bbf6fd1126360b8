"""`send`: a campaign from release to the sink, against BullMQ + Nodemailer + pg and smtp-source.

Rounds are interleaved, because a shared machine's speed wanders; medians are compared. The limit
is smtp-source, which sends one prepared mail of the same size and keeps no books.
"""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from app.config import settings
from app.db.session import connect
from infra.load import bull, letters, sinks, tenant
from infra.load.figures import Direction, Figure, Goal
from infra.load.round import Round, send_campaign
from infra.load.sinks import Sink
from infra.load.stand import Measured, Stand, median
from infra.load.usage import Spent
from infra.local import programs

_AT_LEAST_12 = Goal(direction=Direction.AT_LEAST, limit=12, is_ratio=True)
_AT_LEAST_18 = Goal(direction=Direction.AT_LEAST, limit=18, is_ratio=True)
_AT_LEAST_HALF = Goal(direction=Direction.AT_LEAST, limit=0.5, is_ratio=True)
_AT_MOST_3_5 = Goal(direction=Direction.AT_MOST, limit=3.5)
_HOT = Goal(direction=Direction.AT_LEAST, limit=0.6)
_OURS = ("workers", "clock")
_THEIRS = ("worker", "producer")
_SERVICES = ("postgres", "rabbitmq", "redis")
_CONNECTIONS = 8
_WAIT_S = 60.0


def measure(stand: Stand) -> Measured:
    """Send the rounds, interleaved, and compare their medians."""
    ours: list[Round] = []
    theirs: list[Round] = []
    limits: list[Round] = []
    with (
        sinks.fastest(stand.folder) as sink,
        connect(settings().database_url, role=None) as session,
    ):
        tenant.fill_suppressions(session, stand.sizes.suppressed)
        for _ in range(stand.sizes.rounds):
            sizes = stand.sizes
            ours.append(
                send_campaign(
                    session, sink, stand.folder, leads=sizes.leads, strength=sizes.strength
                )
            )
            if stand.peers is not None:
                theirs.append(bull.send_campaign(stand.peers, sink, stand.folder, sizes.peer_mails))
            limits += source_round(sink, stand.folder, sizes.leads)
        name = sink.name
    remarks = [f"counted at {name}; median of {len(ours)} interleaved rounds"]
    remarks += _absent(theirs, limits)
    rounds = {"mailqueue": ours, "bullmq": theirs, "smtp_source": limits}
    facts = {who: [one.facts() for one in found] for who, found in rounds.items()}
    return Measured(figures=figures(ours, theirs, limits), remarks=remarks, facts=facts)


def figures(
    ours: Sequence[Round], theirs: Sequence[Round], limits: Sequence[Round]
) -> list[Figure]:
    """Return the lines of the table; the peers' columns stay empty where they did not run."""
    costs = [_cost(ours, theirs, name) for name in (*_SERVICES, "sink")]
    return [*_rates(ours, theirs, limits), *_shares(ours), *costs]


def _rates(ours: Sequence[Round], theirs: Sequence[Round], limits: Sequence[Round]) -> list[Figure]:
    return [
        Figure(
            name="mails/s against BullMQ + Nodemailer",
            ours=_rate(ours) or 0,
            unit="/s",
            other=_rate(theirs),
            goal=_AT_LEAST_12,
        ),
        Figure(
            name="mails per CPU-second, sending side",
            ours=_per_cpu(ours, _OURS) or 0,
            unit="",
            other=_per_cpu(theirs, _THEIRS),
            goal=_AT_LEAST_18,
        ),
        Figure(
            name="mails per CPU-second, all-in",
            ours=_per_cpu(ours, (*_OURS, *_SERVICES)) or 0,
            unit="",
            other=_per_cpu(theirs, (*_THEIRS, *_SERVICES)),
            goal=_AT_LEAST_12 if _sees_services(ours) else None,
        ),
        Figure(
            name="mails/s against smtp-source",
            ours=_rate(ours) or 0,
            unit="/s",
            other=_rate(limits),
            goal=_AT_LEAST_HALF,
        ),
    ]


def _sees_services(rounds: Sequence[Round]) -> bool:
    """Return whether the services ran where their CPU can be read; in containers it cannot."""
    return all(name in one.spent.by_name for one in rounds for name in _SERVICES)


def _shares(ours: Sequence[Round]) -> list[Figure]:
    sinks = [one.spent.total / one.spent.of("sink") for one in ours]
    hot = [one.hot_share for one in ours if one.hot_share is not None]
    found = [
        ("CPU all-in / CPU of the sink", sinks, _AT_MOST_3_5 if _sees_services(ours) else None),
        ("HOT share of updates on emails", hot, _HOT),
    ]
    return [
        Figure(name=name, ours=median(shares), unit="", goal=goal)
        for name, shares, goal in found
        if shares
    ]


def source_round(sink: Sink, folder: Path, mails: int) -> list[Round]:
    """Let smtp-source send; an empty list when it is not to be had."""
    program = programs.find("smtp-source")
    if program is None:
        return []
    message = folder / "message.eml"
    message.write_bytes(letters.sample().replace(b"\r\n", b"\n"))
    target = sink.count() + mails
    words = ("-d", "-F", message, "-m", mails, "-s", _CONNECTIONS, f"127.0.0.1:{sink.port}")
    began = time.monotonic()
    process = subprocess.Popen(program.command(*words), env=program.environment)
    _, _, used = os.wait4(process.pid, 0)
    while sink.count() < target and time.monotonic() - began < _WAIT_S:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    cpu_ms = (used.ru_utime + used.ru_stime) * 1000 / mails
    return [Round(mails=mails, seconds=seconds, spent=Spent(by_name={"source": cpu_ms}))]


def _rate(rounds: Sequence[Round]) -> float | None:
    return median(one.per_s for one in rounds) if rounds else None


def _per_cpu(rounds: Sequence[Round], names: Sequence[str]) -> float | None:
    """Return mails per CPU second: 1,000 over the milliseconds of a mail."""
    return median(1000 / one.spent.of(*names) for one in rounds) if rounds else None


def _cost(ours: Sequence[Round], theirs: Sequence[Round], name: str) -> Figure:
    return Figure(
        name=f"CPU-seconds per 1,000 mails, {name}",
        ours=median(one.spent.of(name) for one in ours),
        unit="s",
        other=median(one.spent.of(name) for one in theirs) if theirs else None,
    )


def _absent(theirs: Sequence[Round], limits: Sequence[Round]) -> list[str]:
    found = [] if theirs else ["no peer: asked for none, or node and npm are absent"]
    return found if limits else [*found, "no limit: smtp-source (postfix) is not to be had"]
