"""`soak`: a million mails through one fleet; what memory, files, connections and queues do meanwhile.

What grows with the number of mails has a slope; what only warms up has not. The slope is taken
over the second half of the samples, by least squares, per 100,000 mails.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pika

from app.config import settings
from app.db.session import Session, connect
from app.errors import DependencyUnavailable
from app.queueing.topology import WORK_QUEUES
from infra.load import fleet, processes, sinks, tenant
from infra.load.agreement import require_agreement
from infra.load.figures import Direction, Figure, Goal
from infra.load.round import counted
from infra.load.sinks import settled_count
from infra.load.stand import Measured, Stand
from infra.load.usage import service_pids

_SAMPLE_S = 1.0
_STALLED_S = 120.0
_FLAT = Goal(direction=Direction.AT_MOST, limit=2.0)
_PER_MAILS = 100_000
_LATER_HALF = 0.5
_LEAST_PLACES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Everything at one moment, by the name of what was read."""

    sent: int
    values: Mapping[str, float]


def measure(stand: Stand) -> Measured:
    """Send one large campaign and sample while it runs."""
    sizes = stand.sizes
    with (
        sinks.fastest(stand.folder) as sink,
        connect(settings().database_url, role=None) as session,
    ):
        mailing = tenant.planned(session, tenant.new_app(session, sink.port), sizes.soak_leads)
        with fleet.standing_by(stand.folder, sizes.strength) as (running, gun):
            began = time.monotonic()
            gun.fire()
            samples = _sampled(session, sink, running.pids, mailing.expected)
            seconds = time.monotonic() - began
        found = counted(session, mailing.campaign_id, settled_count(sink))
        require_agreement("mailqueue", mailing.expected, found)
    rate = Figure(name="mails/s", ours=mailing.expected / seconds, unit="/s")
    facts = {"samples": [{"sent": one.sent, **one.values} for one in samples]}
    remark = f"{mailing.expected:,} mails, {len(samples)} samples; slopes per {_PER_MAILS:,} mails"
    return Measured(figures=[rate, *figures(samples)], remarks=[remark], facts=facts)


def figures(samples: Sequence[Sample]) -> list[Figure]:
    """Return first, last, highest and slope of every series; workers' memory has a goal.

    Too few places say nothing of a slope: then it is not held against the goal.
    """
    found = []
    later = samples[int(len(samples) * _LATER_HALF) :]
    is_known = len({one.sent for one in later}) >= _LEAST_PLACES
    for name in samples[0].values if samples else ():
        series = [one.values[name] for one in samples if name in one.values]
        unit = "MB" if name.endswith("memory") else ""
        found += [
            Figure(name=f"{name}, first", ours=series[0], unit=unit),
            Figure(name=f"{name}, last", ours=series[-1], unit=unit),
            Figure(name=f"{name}, highest", ours=max(series), unit=unit),
            Figure(
                name=f"{name}, slope",
                ours=slope([(one.sent, one.values[name]) for one in later if name in one.values]),
                unit=unit,
                goal=_FLAT if name == "workers' memory" and is_known else None,
            ),
        ]
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the least-squares line, per 100,000 of x; 0 for fewer than two places."""
    if not points:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return 0.0
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread * _PER_MAILS


def _sampled(
    session: Session, sink: sinks.Sink, pids: Mapping[str, int], target: int
) -> list[Sample]:
    samples: list[Sample] = []
    moved_at, before = time.monotonic(), -1
    with pika.BlockingConnection(pika.URLParameters(settings().rabbitmq_url)) as connection:
        channel = connection.channel()
        while (sent := sink.count()) < target:
            if sent != before:
                moved_at, before = time.monotonic(), sent
            if time.monotonic() - moved_at > _STALLED_S:
                raise DependencyUnavailable("The soak stands still.", why=f"{sent} of {target}.")
            depth = sum(
                channel.queue_declare(queue, passive=True).method.message_count
                for queue in WORK_QUEUES
            )
            values = _read(session, pids) | {"messages in queues": float(depth)}
            samples.append(Sample(sent=sent, values=values))
            connection.sleep(_SAMPLE_S)
    return samples


def _read(session: Session, pids: Mapping[str, int]) -> dict[str, float]:
    workers = processes.tree(pids["workers"])
    ((connections,),) = session.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    ).fetchall()
    services = service_pids()
    return {
        "workers' memory": sum(map(processes.memory_mb, workers)),
        "workers' open files": float(sum(map(processes.open_files, workers))),
        "clock's memory": sum(map(processes.memory_mb, processes.tree(pids["clock"]))),
        "PostgreSQL connections": float(connections),
        **{
            f"{name}'s memory": sum(map(processes.memory_mb, processes.tree(pid)))
            for name, pid in services.items()
            if name != "postgres"  # its sessions share their buffers: a sum would count them often
        },
    }
