"""`stages`: the three stages of a campaign in one thread, one after the other, nobody else at work.

What a mail costs Python and PostgreSQL in each, without threads that wait for each other's lock and
without consuming: the difference to the workers' CPU in `send` is that. Messages go through RabbitMQ.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pika
from pika.adapters.blocking_connection import BlockingChannel

from actors import assemble, runtime, schedule, send
from actors.middleware import spare_the_collector
from app.clock import thread_cpu_s
from app.config import settings
from app.db.session import Session, connect
from app.errors import LedgerOff
from app.queueing.messages import decode
from app.queueing.payloads import AssemblePayload, SendPayload, parse
from app.queueing.steps import ASSEMBLE, SEND, Lane
from infra.load import processes, sinks, tenant
from infra.load.figures import Figure
from infra.load.sinks import Sink
from infra.load.stand import Measured, Stand
from infra.load.tenant import Mailing

_WARM_LEADS = 400  # compile the template, prepare the statements
_ARRIVES_S = 1.0  # a confirmed message can be fetched at once, or nearly


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds of CPU per mail: of this thread, and of its session's backend."""

    python_us: float
    postgres_us: float


def measure(stand: Stand) -> Measured:
    """Send one campaign by hand; raises LedgerOff when a mail is left."""
    with (
        sinks.fastest(stand.folder) as sink,
        connect(settings().database_url, role=None) as session,
        pika.BlockingConnection(pika.URLParameters(settings().rabbitmq_url)) as connection,
    ):
        worker, channel = runtime.session(), connection.channel()
        spare_the_collector()
        _costs(session, worker, channel, tenant.planned(session, _app(session, sink), _WARM_LEADS))
        mailing = tenant.planned(session, _app(session, sink), stand.sizes.stage_leads)
        costs = _costs(session, worker, channel, mailing)
    count = mailing.expected
    remark = f"{count:,} mails in one thread; fetching and decoding their messages is part of it"
    return Measured(figures=figures(costs), remarks=[remark])


def _app(session: Session, sink: Sink) -> UUID:
    return tenant.new_app(session, sink.port)


def _costs(
    session: Session, worker: Session, channel: BlockingChannel, mailing: Mailing
) -> dict[str, Cost]:
    """Take a planned campaign through the stages."""

    def drain(queue: str, work: Callable[[bytes], None]) -> None:
        for body in _messages(channel, queue):
            work(body)

    count, normal = mailing.expected, Lane.NORMAL
    costs = {
        "schedule": _cost(worker, count, lambda: _release(worker)),
        "assemble": _cost(worker, count, lambda: drain(ASSEMBLE.queue_for(normal), _assemble)),
        "send": _cost(worker, count, lambda: drain(SEND.queue_for(normal), _send)),
    }
    _require_sent(session, mailing)
    return costs


def figures(costs: dict[str, Cost]) -> list[Figure]:
    """Return two lines for each stage, and their sums."""
    python_us = sum(cost.python_us for cost in costs.values())
    postgres_us = sum(cost.postgres_us for cost in costs.values())
    whole = costs | {"all three": Cost(python_us=python_us, postgres_us=postgres_us)}
    return [
        Figure(name=f"{name}, CPU of {who}", ours=value, unit="us")
        for name, cost in whole.items()
        for who, value in (("Python", cost.python_us), ("PostgreSQL", cost.postgres_us))
    ]


def _cost(worker: Session, mails: int, stage: Callable[[], None]) -> Cost:
    backend = worker.info.backend_pid
    ours, theirs = thread_cpu_s(), processes.cpu_s(backend)
    stage()
    return Cost(
        python_us=(thread_cpu_s() - ours) * 1e6 / mails,
        postgres_us=(processes.cpu_s(backend) - theirs) * 1e6 / mails,
    )


def _release(worker: Session) -> None:
    schedule.run_pass(worker, settings(), reason="bench")


def _assemble(body: bytes) -> None:
    assemble.assemble(parse(AssemblePayload, decode(body).kwargs["payload"]))


def _send(body: bytes) -> None:
    send.send(parse(SendPayload, decode(body).kwargs["payload"]))


def _messages(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Take all messages of a queue, once it holds one."""
    found: list[bytes] = []
    deadline = time.monotonic() + _ARRIVES_S
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is not None and body is not None:
            found.append(body)
        elif found or time.monotonic() > deadline:
            return found


def _require_sent(session: Session, mailing: Mailing) -> None:
    query = "SELECT count(*) FROM emails WHERE campaign_id = %s AND status = 'sent'"
    ((sent,),) = session.execute(query, (mailing.campaign_id,)).fetchall()
    if sent != mailing.expected:
        raise LedgerOff(f"No cost: {sent} of {mailing.expected} mails were sent.")
