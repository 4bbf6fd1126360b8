"""`track`: pixel and click of `mailqueue tracking`, against fastify + BullMQ; no event is lost.

Full speed for rate and CPU, then half of that rate for the latency. Afterwards the events worker
records everything, and every answered request must be there as an event of its own.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

from actors import runtime
from app.cli.processes import dramatiq_command
from app.config import settings
from app.db.session import Session, connect
from app.queueing.steps import EVENTS
from infra.load import bull, fleet, sinks
from infra.load.agreement import require_all
from infra.load.driving import Driven, drive
from infra.load.figures import Direction, Figure, Goal
from infra.load.fleet import Strength
from infra.load.node import Peers
from infra.load.round import send_campaign
from infra.load.running import Child, first_words, running, wait_for_line, wait_for_port
from infra.load.stand import Measured, Stand
from infra.load.wrk import Load
from infra.local import programs
from infra.local.ports import free_port

_RATE = Goal(direction=Direction.AT_LEAST, limit=5_000)
_P99 = Goal(direction=Direction.AT_MOST, limit=20)
_CPU = Goal(direction=Direction.AT_MOST, limit=0.25, is_ratio=True)
_MAILS = 1_000
_LINK = "https://www.example.com/report/2026/spring/overview"
_AGENT = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Thunderbird/128.0"}
_RECORDED_S = 120.0
_POLL_S = 0.5
_TYPES = {"pixel": "opened", "click": "clicked"}


def measure(stand: Stand) -> Measured:
    """Drive both routes of both servers and compare."""
    with connect(settings().database_url, role=None) as session:
        ours = _ours(stand, session)
    theirs = _theirs(stand, stand.peers) if stand.peers else {}
    figures = [line for route in ours for line in _lines(route, ours[route], theirs.get(route))]
    facts = {
        who: {route: _facts(one) for route, one in found.items()}
        for who, found in {"mailqueue": ours, "fastify": theirs}.items()
    }
    remark = "every answered request was recorded as an event; CPU includes the broker"
    return Measured(figures=figures, remarks=[remark], facts=facts)


def _ours(stand: Stand, session: Session) -> dict[str, Driven]:
    app_id, mails = _sent_mails(stand, session)
    keys = runtime.token_keys()
    link = keys.link_token(_LINK, 1, app_id)
    tokens = [keys.mail_token(mail, app_id) for mail in mails]
    routes = {
        "pixel": tuple(f"/t/{token}.gif" for token in tokens),
        "click": tuple(f"/c/{token}/{link}" for token in tokens),
    }
    with tracking_server(stand.folder) as (port, pid):
        found = {
            route: drive(stand, Load(port=port, paths=paths, headers=_AGENT), {"server": pid})
            for route, paths in routes.items()
        }
    _require_recorded(stand, session, app_id, found)
    return found


@contextmanager
def tracking_server(folder: Path) -> Iterator[tuple[int, int]]:
    """Run `mailqueue tracking` with one worker process; yields its port and process id."""
    port = free_port()
    env = fleet.environment() | {"MAILQUEUE_TRACKING_PORT": str(port)}
    command = programs.python("app", "tracking")
    with running(command, folder / "tracking.log", env=env) as process:
        wait_for_port(port, process)
        yield port, process.pid


def _sent_mails(stand: Stand, session: Session) -> tuple[UUID, list[UUID]]:
    """Send a small campaign, so that the hits belong to real mails."""
    with sinks.fastest(stand.folder) as sink:
        send_campaign(session, sink, stand.folder, leads=_MAILS, strength=Strength(processes=1))
    rows = session.execute(
        "SELECT app_id, id FROM emails WHERE status = 'sent' ORDER BY id DESC LIMIT %s",
        (_MAILS // 2,),
    ).fetchall()
    return rows[0][0], [row[1] for row in rows]


def _require_recorded(
    stand: Stand, session: Session, app_id: UUID, driven: Mapping[str, Driven]
) -> None:
    """Let a worker record what waits in RabbitMQ; raise LedgerOff when an answered hit is missing."""
    command = dramatiq_command(1, settings().worker_threads, EVENTS.queues)
    log = stand.folder / "events.log"
    deadline = time.monotonic() + _RECORDED_S
    with running(command, log, env=fleet.environment()):
        for route, one in driven.items():
            found = _events(session, app_id, _TYPES[route])
            while found < one.requests and time.monotonic() < deadline:
                time.sleep(_POLL_S)
                found = _events(session, app_id, _TYPES[route])
            require_all(f"{route} of mailqueue", one.requests, found)


def _events(session: Session, app_id: UUID, kind: str) -> int:
    query = "SELECT count(*) FROM email_events WHERE app_id = %s AND type = %s"
    row = session.execute(query, (app_id, kind)).fetchone()
    return int(row[0]) if row else 0


def _theirs(stand: Stand, peers: Peers) -> dict[str, Driven]:
    with peers.connect() as session:
        bull.reset(session, 1)
    port = free_port()
    log = stand.folder / "fastify.log"
    with peers.running("serve.mjs", log, {"PORT": str(port)}) as server:
        token = (first_words(log, "ready") or ["", ""])[1]
        paths = {"pixel": f"/o/{token}", "click": f"/c/{token}/1"}
        found = {
            route: drive(
                stand, Load(port=port, paths=(path,), headers=_AGENT), {"server": server.pid}
            )
            for route, path in paths.items()
        }
        waiting = _waiting_jobs(server, log)
    require_all("fastify", sum(one.requests for one in found.values()), waiting)
    return found


def _waiting_jobs(server: Child, log: Path) -> int:
    """Ask the peer how many hits it has queued."""
    assert server.stdin is not None  # noqa: S101 - running() made the pipe
    server.stdin.write(b"count\n")
    server.stdin.flush()
    wait_for_line(log, "waiting", server)
    return int((first_words(log, "waiting") or ["", "0"])[1])


def _lines(route: str, ours: Driven, theirs: Driven | None) -> list[Figure]:
    return [
        Figure(
            name=f"{route}, requests/s of one process",
            ours=ours.full.per_s,
            unit="/s",
            other=theirs.full.per_s if theirs else None,
            goal=_RATE,
        ),
        Figure(
            name=f"{route}, p99 at half load",
            ours=ours.half.p99_ms,
            unit="ms",
            other=theirs.half.p99_ms if theirs else None,
            goal=_P99,
        ),
        Figure(
            name=f"{route}, CPU per request with broker",
            ours=ours.spent.total * 1000,
            unit="us",
            other=theirs.spent.total * 1000 if theirs else None,
            goal=_CPU,
        ),
    ]


def _facts(one: Driven) -> dict[str, object]:
    return asdict(one) | {"cpu_us": one.spent.total * 1000}
