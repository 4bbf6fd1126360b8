"""`api`: POST /v1/emails against fastify + pg + BullMQ with the same body; GET /v1/emails/:id.

Nobody sends meanwhile: what is measured is taking a mail, committed and handed on. One process and
two, at full speed for rate and CPU, then at half of that rate for the latency.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from uuid import UUID

from app.config import settings
from app.db.session import Session, connect
from infra.load import bull, submitting, tenant
from infra.load.agreement import require_all
from infra.load.driving import Driven, drive
from infra.load.figures import Direction, Figure, Goal
from infra.load.node import Peers
from infra.load.stand import Measured, Stand
from infra.load.submitting import EMAILS, Office
from infra.load.wrk import Load
from infra.local.ports import free_port

_CPU = Goal(direction=Direction.AT_MOST, limit=1.0, is_ratio=True)
_P99 = Goal(direction=Direction.AT_MOST, limit=100)
_KEY = "mq_live_0123456789abcdef0123456789abcdef"
_PROCESSES = {1: "one process", 2: "two processes"}
_POST, _GET = "POST", "GET"


def measure(stand: Stand) -> Measured:
    """Post to both and read from ours; compare what a request costs."""
    with connect(settings().database_url, role=None) as session:
        ours = {count: _ours(stand, session, count) for count in _PROCESSES}
    theirs = _theirs(stand, stand.peers) if stand.peers else None
    figures = [
        line
        for count, found in ours.items()
        for what in (_POST, _GET)
        for line in _lines(
            what, count, found[what], theirs if (what, count) == (_POST, 1) else None
        )
    ]
    facts: dict[str, object] = {
        f"mailqueue, {_PROCESSES[count]}, {what}": _facts(one)
        for count, found in ours.items()
        for what, one in found.items()
    }
    facts["fastify"] = _facts(theirs) if theirs else None
    remark = "every answered POST is a stored row; CPU of server, PostgreSQL, RabbitMQ, Redis"
    return Measured(figures=figures, remarks=[remark], facts=facts)


def _lines(what: str, count: int, ours: Driven, theirs: Driven | None) -> list[Figure]:
    name = f"{what}, {_PROCESSES[count]}"
    return [
        Figure(
            name=f"{name}, CPU-seconds per 1,000, all-in",
            ours=ours.spent.total,
            unit="s",
            other=theirs.spent.total if theirs else None,
            goal=_CPU if theirs else None,
        ),
        Figure(
            name=f"{name}, requests/s",
            ours=ours.full.per_s,
            unit="/s",
            other=theirs.full.per_s if theirs else None,
        ),
        Figure(
            name=f"{name}, p50 at full load",
            ours=ours.full.p50_ms,
            unit="ms",
            other=theirs.full.p50_ms if theirs else None,
        ),
        Figure(
            name=f"{name}, p99 at full load",
            ours=ours.full.p99_ms,
            unit="ms",
            other=theirs.full.p99_ms if theirs else None,
        ),
        Figure(
            name=f"{name}, p99 at half load",
            ours=ours.half.p99_ms,
            unit="ms",
            other=theirs.half.p99_ms if theirs else None,
            goal=_P99,
        ),
    ]


def _ours(stand: Stand, session: Session, processes: int) -> dict[str, Driven]:
    app_id = tenant.new_app(session, 1)
    with submitting.office(session, stand.folder, app_id, processes) as office:
        pids = {"server": office.pid}
        with submitting.client(office) as client:
            # A clear answer before any load, and a mail to ask for.
            first = client.post(EMAILS, submitting.email("Hello"))["id"]
        posts = drive(stand, _posting(office.port, office.headers), pids)
        require_all("POST /v1/emails", posts.requests, _stored(session, app_id))
        reads = drive(stand, _reading(office, first), pids)
    return {_POST: posts, _GET: reads}


def _theirs(stand: Stand, peers: Peers) -> Driven:
    with peers.connect() as session:
        bull.reset(session, 1)
        session.execute(
            "INSERT INTO peer.api_keys VALUES (1, 'mq_live_', %s, 1)",
            (hashlib.sha256(_KEY.encode()).digest(),),
        )
        port = free_port()
        headers = {"Authorization": f"Bearer {_KEY}", "Content-Type": "application/json"}
        log = stand.folder / "fastify-api.log"
        with peers.running("serve.mjs", log, {"PORT": str(port)}) as server:
            found = drive(stand, _posting(port, headers), {"server": server.pid})
        row = session.execute("SELECT count(*) FROM peer.emails").fetchone()
        require_all("fastify", found.requests, int(row[0]) if row else 0)
    return found


def _posting(port: int, headers: Mapping[str, str]) -> Load:
    body = json.dumps(submitting.email("Your receipt"))
    return Load(port=port, paths=(EMAILS,), body=body, headers=dict(headers))


def _reading(office: Office, email_id: str) -> Load:
    return Load(port=office.port, paths=(f"{EMAILS}/{email_id}",), headers=office.headers)


def _stored(session: Session, app_id: UUID) -> int:
    row = session.execute("SELECT count(*) FROM emails WHERE app_id = %s", (app_id,)).fetchone()
    return int(row[0]) if row else 0


def _facts(found: Driven) -> dict[str, object]:
    return {
        "full": asdict(found.full),
        "half": asdict(found.half),
        "cpu_s_per_1000": dict(found.spent.by_name),
    }
