"""Looking into the dead-letter queues of RabbitMQ, and taking messages out of them.

`channel` is a BlockingChannel with confirm_delivery() on. The rows are marked by the caller, after
the message has moved (dead_letters.mark_retried, mark_discarded).
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid5

import orjson
import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from app.db.session import Session
from app.errors import DependencyUnavailable, MessageMalformed
from app.ids import new_id
from app.queueing import dead_letter_rows, messages, topology
from app.queueing.dead_letters import (
    DeadLetter,
    app_of,
    as_uuid,
    clipped,
    fingerprint,
    record,
    request_of,
)

# Names what RabbitMQ itself dead-lettered, so that the same bytes get the same id at every look.
_NAMESPACE = UUID("0197f3c2-6f0a-7b51-9d3e-2f4c8a6b1e70")


_REPAIRED_AT_ONCE = 1_000
_LOOKED_THROUGH = 20_000


@contextmanager
def opened(url: str) -> Iterator[BlockingChannel]:
    """Open a channel with confirms, all queues declared; raises DependencyUnavailable."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.blocked_connection_timeout = 10
    try:
        connection = pika.BlockingConnection(parameters)
        try:
            channel = connection.channel()
            topology.declare(channel)
            channel.confirm_delivery()
            yield channel
        finally:
            if connection.is_open:
                connection.close()
    except (pika.exceptions.AMQPError, OSError) as error:
        raise DependencyUnavailable(
            "RabbitMQ cannot be reached.",
            why=f"{str(error) or type(error).__name__}.",
            fix="Check RABBITMQ_URL (mailqueue doctor). What was not moved stays where it is.",
        ) from error


def repair(channel: BlockingChannel, session: Session) -> int:
    """Write the rows that dead letters in RabbitMQ lack; returns how many letters were looked at.

    RabbitMQ itself dead-letters what was returned 20 times, and a row cannot be written while
    PostgreSQL is away. Only queues that hold more letters than open rows are looked into.
    """
    known = dead_letter_rows.open_by_queue(session)
    looked_at = 0
    for queue in topology.WORK_QUEUES:
        name = topology.dead_queue(queue)
        held = channel.queue_declare(name, passive=True).method.message_count
        if held <= known.get(queue, 0):
            continue
        for letter in peek(channel, queue, min(held, _REPAIRED_AT_ONCE)):
            record(session, letter)
            looked_at += 1
    return looked_at


def publish_again(channel: BlockingChannel, letters: Sequence[DeadLetter]) -> None:
    """Publish the letters' messages to their work queues and take the letters out of RabbitMQ.

    What RabbitMQ lost is published from its row. A letter leaves only when its message is confirmed.
    """
    for queue in sorted({letter.queue for letter in letters}):
        wanted = {letter.id: letter for letter in letters if letter.queue == queue}
        moved = retry(channel, queue, wanted.keys(), _LOOKED_THROUGH)
        for missing in wanted.keys() - set(moved):
            channel.basic_publish(
                "", queue, renewed(wanted[missing].body), _DURABLE, mandatory=True
            )


def throw_away(channel: BlockingChannel, letters: Sequence[DeadLetter]) -> None:
    """Take letters out of RabbitMQ for good."""
    for queue in sorted({letter.queue for letter in letters}):
        ids = [letter.id for letter in letters if letter.queue == queue]
        discard(channel, queue, ids, _LOOKED_THROUGH)


def replace(
    channel: BlockingChannel, letters: Sequence[DeadLetter], gone: Sequence[tuple[str, UUID]]
) -> None:
    """Put `letters` in the place of those of the same id, and take those `gone` out for good.

    For letters whose rows were changed. The new one is confirmed before the old one leaves; after a
    crash in between both are met again.
    """
    kept = {letter.id: letter for letter in letters}
    wanted = {(letter.queue, letter.id) for letter in letters} | set(gone)
    for queue in sorted({queue for queue, _ in wanted}):
        left = dict(kept)

        def publish(old: DeadLetter, left: dict[UUID, DeadLetter] = left) -> None:
            new = left.pop(old.id, None)
            if new is not None:
                _publish_dead(channel, new)

        ids = {letter_id for name, letter_id in wanted if name == queue}
        _take(channel, queue, publish, ids=ids, limit=_LOOKED_THROUGH)


def _publish_dead(channel: BlockingChannel, letter: DeadLetter) -> None:
    outgoing = letter.outgoing()
    properties = pika.BasicProperties(
        delivery_mode=2, content_type="application/json", headers=dict(outgoing.headers or {})
    )
    channel.basic_publish(
        outgoing.exchange, outgoing.queue, outgoing.body, properties, mandatory=True
    )


def peek(channel: BlockingChannel, queue: str, limit: int) -> list[DeadLetter]:
    """Return up to `limit` dead letters of the work queue `queue`, oldest first; they stay.

    Recording each of them (dead_letters.record) repairs rows that could not be written.
    """
    found = _read(channel, queue, limit)
    for _, tag in found:
        channel.basic_nack(tag, requeue=True)
    return [letter for letter, _ in found]


def retry(
    channel: BlockingChannel, queue: str, ids: Collection[UUID] | None = None, limit: int = 500
) -> list[UUID]:
    """Publish dead letters to their work queue again, on the first rung; returns their ids.

    `ids` None means all. Each leaves the dead letters only when RabbitMQ has confirmed its new
    message; raises pika's AMQPError when RabbitMQ is away, and what was not moved stays.
    """

    def publish(letter: DeadLetter) -> None:
        channel.basic_publish("", queue, renewed(letter.body), _DURABLE, mandatory=True)

    return _take(channel, queue, publish, ids=ids, limit=limit)


def discard(
    channel: BlockingChannel, queue: str, ids: Collection[UUID], limit: int = 500
) -> list[UUID]:
    """Remove dead letters from RabbitMQ for good; returns the ids that were found."""
    return _take(channel, queue, lambda _: None, ids=ids, limit=limit)


_DURABLE = pika.BasicProperties(delivery_mode=2, content_type="application/json")


def _take(
    channel: BlockingChannel,
    queue: str,
    move: Callable[[DeadLetter], None],
    *,
    ids: Collection[UUID] | None,
    limit: int,
) -> list[UUID]:
    """Move the chosen ones of what is there now; the others go back when all are looked at."""
    found = _read(channel, queue, limit)
    taken: list[UUID] = []
    for letter, tag in found:
        if ids is not None and letter.id not in ids:
            channel.basic_nack(tag, requeue=True)
            continue
        move(letter)
        channel.basic_ack(tag)
        taken.append(letter.id)
    return taken


def _read(channel: BlockingChannel, queue: str, limit: int) -> list[tuple[DeadLetter, int]]:
    """Return what the dead-letter queue holds, oldest first, unanswered.

    All is fetched before any is answered: one that dies again meanwhile is not met twice. The
    queue's own count is not asked, it lags behind.
    """
    found: list[tuple[DeadLetter, int]] = []
    while len(found) < limit:
        method, properties, body = channel.basic_get(topology.dead_queue(queue))
        if method is None or properties is None or body is None:
            break
        found.append((read(queue, dict(properties.headers or {}), body), method.delivery_tag))
    return found


def read(queue: str, headers: dict[str, Any], body: bytes) -> DeadLetter:
    """Return the dead letter a message of dlq.<queue> stands for.

    One without our headers was dead-lettered by RabbitMQ: delivered 20 times, never acked, which
    means that it kills its worker.
    """
    identity = as_uuid(headers.get("x-dead-letter-id"))
    options, kwargs, actor = _open(body)
    if identity is None:
        return DeadLetter(
            id=uuid5(_NAMESPACE, body.hex()),
            queue=queue,
            body=body,
            reason=f"returned to its queue {topology.DELIVERY_LIMIT} times: it may kill its worker",
            error_class="DeliveryLimit",
            error=clipped(str(headers.get("x-first-death-reason", "delivery_limit"))),
            failed_at=_died_at(headers),
            fingerprint=fingerprint("DeliveryLimit", "", actor or queue),
            actor=actor,
            app_id=app_of(kwargs),
            request_id=request_of(options),
        )
    return DeadLetter(
        id=identity,
        queue=queue,
        body=body,
        reason=str(headers.get("x-reason", "")),
        error_class=str(headers.get("x-error-class", "")),
        error=str(headers.get("x-error", "")),
        failed_at=dt.datetime.fromisoformat(str(headers["x-failed-at"])),
        fingerprint=str(headers.get("x-fingerprint", "")),
        attempts=int(headers.get("x-attempts", 0)),
        actor=actor,
        traceback=options.get("traceback"),
        app_id=app_of(kwargs),
        request_id=request_of(options),
    )


def renewed(body: bytes) -> bytes:
    """Return a message without its history: a retry starts at the first rung again.

    Its new id tells it from the one that died, also where the same bytes would get the same name.
    """
    try:
        message = messages.decode(body)
    except MessageMalformed:
        return body
    options = {k: v for k, v in message.options.items() if k not in {"retries", "traceback"}}
    fresh = {"options": options, "message_id": str(new_id())}
    return orjson.dumps({**message.asdict(), **fresh})


def _open(body: bytes) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    try:
        message = messages.decode(body)
    except MessageMalformed:
        return {}, {}, None
    return message.options, message.kwargs, message.actor_name


def _died_at(headers: dict[str, Any]) -> dt.datetime:
    """Return when RabbitMQ dead-lettered a message; pika reads AMQP times as naive UTC."""
    deaths = headers.get("x-death") or [{}]
    at = deaths[0].get("time")
    known = isinstance(at, dt.datetime)
    return at.replace(tzinfo=dt.UTC) if known else dt.datetime.fromtimestamp(0, dt.UTC)
