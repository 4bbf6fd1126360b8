"""`api`: POST /v1/emails, what 1,000 of them cost, against fastify + pg + BullMQ with the same body.

Nobody sends meanwhile: what is measured is taking a mail, committed and handed on.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from uuid import UUID

from app.config import settings
from app.db.session import Session, connect
from infra.load import bull, submitting, tenant, wrk
from infra.load.agreement import require_all
from infra.load.figures import Direction, Figure, Goal
from infra.load.node import Peers
from infra.load.stand import Measured, Stand
from infra.load.submitting import EMAILS, Office
from infra.load.usage import Meter, Spent
from infra.load.wrk import Answered, Load
from infra.local.ports import free_port

_CPU = Goal(direction=Direction.AT_MOST, limit=1.0, is_ratio=True)
_KEY = "mq_live_0123456789abcdef0123456789abcdef"


def measure(stand: Stand) -> Measured:
    """Post for a while to both and compare what a request costs."""
    with connect(settings().database_url, role=None) as session:
        ours = _ours(stand, session)
    theirs = _theirs(stand, stand.peers) if stand.peers else None
    figures = [
        Figure(
            name="CPU-seconds per 1,000 POSTs, all-in",
            ours=ours[1].total,
            unit="s",
            other=theirs[1].total if theirs else None,
            goal=_CPU,
        ),
        Figure(
            name="POSTs/s of one process",
            ours=ours[0].per_s,
            unit="/s",
            other=theirs[0].per_s if theirs else None,
        ),
        Figure(
            name="p99 at full load",
            ours=ours[0].p99_ms,
            unit="ms",
            other=theirs[0].p99_ms if theirs else None,
        ),
    ]
    facts = {"mailqueue": _facts(ours), "fastify": _facts(theirs) if theirs else None}
    remark = "every answered POST is a stored row; CPU of server, PostgreSQL, RabbitMQ, Redis"
    return Measured(figures=figures, remarks=[remark], facts=facts)


def _ours(stand: Stand, session: Session) -> tuple[Answered, Spent]:
    app_id = tenant.new_app(session, 1)
    with submitting.office(session, stand.folder, app_id) as office:
        with submitting.client(office) as client:
            client.post(EMAILS, submitting.email("Hello"))  # a clear answer before any load
        done, spent, posts = _drive(stand, _load(stand, office.port, office.headers), _pids(office))
        require_all("POST /v1/emails", posts, _stored(session, app_id))
    return done, spent


def _theirs(stand: Stand, peers: Peers) -> tuple[Answered, Spent]:
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
            load = _load(stand, port, headers)
            done, spent, posts = _drive(stand, load, {"server": server.pid})
        row = session.execute("SELECT count(*) FROM peer.emails").fetchone()
        require_all("fastify", posts, int(row[0]) if row else 0)
    return done, spent


def _load(stand: Stand, port: int, headers: Mapping[str, str]) -> Load:
    return Load(
        port=port,
        paths=(EMAILS,),
        seconds=stand.sizes.load_s,
        body=json.dumps(submitting.email("Your receipt")),
        headers=dict(headers),
    )


def _drive(stand: Stand, load: Load, pids: Mapping[str, int]) -> tuple[Answered, Spent, int]:
    """Warm up, then measure; return the answers, their cost and how many there were in all."""
    warm = wrk.drive(replace(load, seconds=1), stand.folder)
    meter = Meter(pids)
    done = wrk.drive(load, stand.folder)
    return done, meter.spent(done.requests), warm.requests + done.requests


def _pids(office: Office) -> dict[str, int]:
    return {"server": office.pid}


def _stored(session: Session, app_id: UUID) -> int:
    row = session.execute("SELECT count(*) FROM emails WHERE app_id = %s", (app_id,)).fetchone()
    return int(row[0]) if row else 0


def _facts(found: tuple[Answered, Spent]) -> dict[str, object]:
    answered, spent = found
    return asdict(answered) | {"cpu_s_per_1000": dict(spent.by_name)}
