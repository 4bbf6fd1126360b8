"""Every exchange and queue of the pipeline, with its arguments (DESIGN section 4).

Works unchanged on RabbitMQ 3.10 and 4.x. Queue arguments are immutable, so only what can never
change stands here; tunables belong into policies (infra/rabbitmq/definitions.json).

    send.high --failed--> mail.retry.30s --TTL--> send.high          (attempt n waits on rung n)
    send.high --dead----> mail.dead ------------> dlq.send.high      (until a person decides)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from app.errors import ConfigurationInvalid
from app.queueing.steps import LADDER, STEPS, Rung

DEAD_EXCHANGE = "mail.dead"
DELIVERY_LIMIT = 20
# RabbitMQ 4 drops a message returned 20 times from a queue without a limit of its own, and looking
# into a dead-letter queue returns messages. 3.10 knows no "unlimited", so: a number never reached.
DEAD_DELIVERY_LIMIT = 1_000_000

WORK_QUEUES: tuple[str, ...] = tuple(queue for step in STEPS for queue in step.queues)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A durable exchange; `kind` is direct or fanout."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A durable quorum queue, its immutable arguments, and the exchange it is bound to if any."""

    name: str
    arguments: dict[str, str | int]
    exchange: str = ""
    routing_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """What has to exist before a message can travel; exchanges come first."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]


def retry_name(rung: Rung) -> str:
    """Return the name of a rung: its exchange and its queue are called the same."""
    return f"mail.retry.{rung.label}"


def dead_queue(queue: str) -> str:
    """Return the dead-letter queue of a work queue."""
    return f"dlq.{queue}"


def work_queue(name: str) -> Queue:
    """Return a work queue: what it rejects goes to mail.dead, and only after mail.dead has it."""
    return Queue(
        name=name,
        arguments={
            "x-queue-type": "quorum",
            "x-dead-letter-exchange": DEAD_EXCHANGE,
            "x-dead-letter-routing-key": name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": DELIVERY_LIMIT,
        },
    )


def retry_queue(rung: Rung) -> Queue:
    """Return the waiting queue of a rung.

    Without a dead-letter routing key of its own the message keeps the key it was published with,
    which is the name of its work queue, and the default exchange leads it back there.
    """
    return Queue(
        name=retry_name(rung),
        arguments={
            "x-queue-type": "quorum",
            "x-message-ttl": int(rung.delay.total_seconds() * 1000),
            "x-dead-letter-exchange": "",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
        exchange=retry_name(rung),
    )


def dead_letter_queue(name: str) -> Queue:
    """Return the dead-letter queue of the work queue `name`: no TTL, a person decides."""
    return Queue(
        name=dead_queue(name),
        arguments={"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT},
        exchange=DEAD_EXCHANGE,
        routing_key=name,
    )


def topology(queues: Iterable[str] = WORK_QUEUES, ladder: Sequence[Rung] = LADDER) -> Topology:
    """Return everything the work queues named need; the whole pipeline by default."""
    names = tuple(queues)
    return Topology(
        exchanges=(
            Exchange(name=DEAD_EXCHANGE, kind="direct"),
            *(Exchange(name=retry_name(rung), kind="fanout") for rung in ladder),
        ),
        queues=(
            *(dead_letter_queue(name) for name in names),
            *(retry_queue(rung) for rung in ladder),
            *(work_queue(name) for name in names),
        ),
    )


def declare(channel: BlockingChannel, wanted: Topology | None = None) -> None:
    """Declare what is missing; harmless when all of it exists.

    Raises ConfigurationInvalid when something of that name exists with other arguments (the channel
    is closed by then), pika's AMQPError when RabbitMQ is away.
    """
    plan = topology() if wanted is None else wanted
    for exchange in plan.exchanges:
        _declare_exchange(channel, exchange)
    for queue in plan.queues:
        _declare_queue(channel, queue)


def establish(parameters: pika.connection.Parameters, wanted: Topology | None = None) -> None:
    """Declare over a connection of its own, closed afterwards; raises as `declare` does."""
    connection = pika.BlockingConnection(parameters)
    try:
        declare(connection.channel(), wanted)
    finally:
        if connection.is_open:
            connection.close()


def _declare_exchange(channel: BlockingChannel, exchange: Exchange) -> None:
    try:
        channel.exchange_declare(exchange.name, exchange.kind, durable=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        raise _explain(error, "exchange", exchange.name) from error


def _declare_queue(channel: BlockingChannel, queue: Queue) -> None:
    try:
        channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
        if queue.exchange:
            channel.queue_bind(queue.name, queue.exchange, queue.routing_key)
    except pika.exceptions.ChannelClosedByBroker as error:
        raise _explain(error, "queue", queue.name) from error


def _explain(
    error: pika.exceptions.ChannelClosedByBroker, kind: str, name: str
) -> pika.exceptions.ChannelClosedByBroker | ConfigurationInvalid:
    """Return the error a person can act on; anything but a mismatch stays pika's own."""
    if error.reply_code != 406:
        return error
    return ConfigurationInvalid(
        f"The RabbitMQ {kind} {name} exists with other arguments.",
        why=f"RabbitMQ says: {error.reply_text}. Arguments cannot be changed once it exists.",
        fix=f"Let the workers empty it, delete it (rabbitmqadmin delete {kind} name={name}) and "
        "start again: it is declared anew. If a policy is meant, use the policy.",
        field=name,
    )
