"""`latency`: one transactional mail at a time, from the API call to its last byte at the server.

Idle first, then while a large campaign runs through the same workers to another server.
"""

import random
import time
from collections.abc import Sequence

from app.config import settings
from app.db.session import Session, connect
from app.errors import LedgerOff
from infra.load import fleet, sinks, submitting, tenant
from infra.load.figures import Direction, Figure, Goal
from infra.load.fleet import StartingGun
from infra.load.sinks import OwnSink
from infra.load.stand import Measured, Stand
from infra.load.submitting import Office

_P50 = Goal(direction=Direction.AT_MOST, limit=30)
_P99 = Goal(direction=Direction.AT_MOST, limit=100)
_WARM = 20
_MEAN_GAP_S = 0.025
_ARRIVED_S = 60.0


def measure(stand: Stand) -> Measured:
    """Submit probes, idle and busy."""
    sizes = stand.sizes
    with (
        sinks.stamping(stand.folder) as probes,
        sinks.fastest(stand.folder) as crowd,
        connect(settings().database_url, role=None) as session,
    ):
        app_id = tenant.new_app(session, probes.port)
        with (
            submitting.office(session, stand.folder, app_id) as office,
            fleet.working(stand.folder, sizes.strength) as _,
        ):
            idle = _probe(office, probes, range(sizes.probes + _WARM))
            mailing = tenant.planned(
                session, tenant.new_app(session, crowd.port), sizes.background_leads
            )
            StartingGun.tick()
            busy = _probe(office, probes, range(100_000, 100_000 + sizes.probes + _WARM))
            under_way = _is_under_way(session, mailing.campaign_id)
    remarks = [f"{sizes.probes} probes each, {_MEAN_GAP_S * 1000:.0f} ms apart on average"]
    if not under_way:
        remarks.append("the campaign ended before the last probe: give it more leads")
    figures = [*_lines("idle", idle, _P50, _P99), *_lines("under a campaign", busy, None, None)]
    return Measured(figures=figures, remarks=remarks, facts={"idle_ms": idle, "busy_ms": busy})


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _probe(office: Office, sink: OwnSink, numbers: range) -> list[float]:
    """Return the milliseconds of each probe but the first ones; raises LedgerOff when one is lost."""
    posted: dict[int, float] = {}
    with submitting.client(office) as client:
        for number in numbers:
            posted[number] = time.time()
            client.post(submitting.EMAILS, submitting.email(f"probe-{number}"))
            time.sleep(random.expovariate(1 / _MEAN_GAP_S))
    deadline = time.monotonic() + _ARRIVED_S
    while (lost := posted.keys() - sink.arrivals().keys()) and time.monotonic() < deadline:
        time.sleep(0.1)
    if lost:
        raise LedgerOff(f"No latency: {len(lost)} of {len(posted)} probes never arrived.")
    arrived = sink.arrivals()
    return [(arrived[n] - posted[n]) * 1000 for n in list(numbers)[_WARM:]]


def _is_under_way(session: Session, campaign_id: object) -> bool:
    query = """SELECT EXISTS (SELECT FROM emails WHERE campaign_id = %s
               AND status IN ('scheduled', 'queued', 'sending'))"""
    row = session.execute(query, (campaign_id,)).fetchone()
    return bool(row and row[0])


def _lines(when: str, took_ms: Sequence[float], p50: Goal | None, p99: Goal | None) -> list[Figure]:
    return [
        Figure(name=f"{when}, p50", ours=percentile(took_ms, 0.5), unit="ms", goal=p50),
        Figure(name=f"{when}, p99", ours=percentile(took_ms, 0.99), unit="ms", goal=p99),
        Figure(name=f"{when}, highest", ours=max(took_ms), unit="ms"),
    ]
