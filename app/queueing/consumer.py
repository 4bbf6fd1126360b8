"""Reading one queue: nothing is acked by mistake, and nothing unreadable is rejected unseen.

A new connection counts its delivery tags from 1 again, so acking an old message over it would
remove somebody else's. RabbitMQ delivers the old message again by itself. What is not JSON, no
message or for no actor goes to the dead letters with a reason; Dramatiq would reject it silently,
and a message that names another queue would kill the worker's thread.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import dramatiq
import pika.exceptions
from dramatiq.brokers.rabbitmq import _RabbitmqConsumer
from dramatiq.errors import ConnectionClosed

from app.clock import utc_now
from app.errors import MessageMalformed, PublishUnconfirmed
from app.log import Event, logger
from app.queueing.dead_letters import DeadLetter, from_bytes


class Reader(Protocol):
    """What a consumer needs of the broker."""

    def read(self, queue: str, body: bytes) -> dramatiq.Message[Any]:
        """Return the message in `body`; raises MessageMalformed."""

    def bury(self, letter: DeadLetter) -> None:
        """Publish and record a dead letter; raises PublishUnconfirmed."""

    def forget_topology(self) -> None:
        """Declare again before the next use."""


class LadderMessage(dramatiq.MessageProxy):
    """A message in work. Only `settled` is acked; whatever else happens, it goes back to its queue."""

    def __init__(
        self,
        message: dramatiq.Message[Any],
        consumer: "LadderConsumer",
        tag: int,
        *,
        is_redelivered: bool = False,
    ) -> None:
        super().__init__(message)
        self.consumer = consumer
        self.settled = False
        self.tag = tag
        self.is_redelivered = is_redelivered

    def __str__(self) -> str:
        """Name the message without its payload: Dramatiq logs this, and logs hold no addresses."""
        return f"{self.actor_name} {self.message_id}"


class LadderConsumer(_RabbitmqConsumer):
    """Reads one queue; answers only messages that came over its own open channel."""

    broker: Reader
    queue_name: str
    known_tags: set[int]

    def __next__(self) -> LadderMessage | None:
        """Return the next message, or None after the idle time; raises ConnectionClosed."""
        try:
            method, _, body = next(self.iterator)
        except (AssertionError, pika.exceptions.AMQPError) as error:
            if getattr(error, "reply_code", None) == 404:
                self.broker.forget_topology()
            raise closed(error) from None
        if method is None:
            return None
        try:
            message = self.broker.read(self.queue_name, body)
        except MessageMalformed as error:
            self._bury(body, error)
            self.channel.basic_ack(method.delivery_tag)
            return None
        self.known_tags.add(method.delivery_tag)
        tag, again = method.delivery_tag, method.redelivered
        return LadderMessage(message, self, tag, is_redelivered=again)

    def ack(self, message: dramatiq.MessageProxy) -> None:
        """Remove a settled message from RabbitMQ; one that is not settled goes back to its queue."""
        if isinstance(message, LadderMessage) and message.settled:
            self._answer(message, partial(self.channel.basic_ack, message.tag))
        else:
            self.nack(message)

    def nack(self, message: dramatiq.MessageProxy) -> None:
        """Put a message back to its queue: dead letters are published, never rejected."""
        if isinstance(message, LadderMessage):
            self._answer(message, partial(self.channel.basic_nack, message.tag, requeue=True))

    def _answer(self, message: LadderMessage, answer: Callable[[], None]) -> None:
        if message.consumer is self and self.channel.is_open and message.tag in self.known_tags:
            self.known_tags.discard(message.tag)
            try:
                self.connection.add_callback_threadsafe(answer)
            except pika.exceptions.AMQPError:
                pass
            else:
                return
        logger().warning(
            Event.MESSAGE_REDELIVERED, queue=self.queue_name, message_id=message.message_id
        )

    def close(self) -> None:
        """Close channel and connection; where the channel is gone Dramatiq leaves the other open."""
        try:
            super().close()  # type: ignore[no-untyped-call]
        finally:
            if self.connection.is_open:
                with contextlib.suppress(pika.exceptions.AMQPError):
                    self.connection.close()

    def _bury(self, body: bytes, error: MessageMalformed) -> None:
        """Dead-letter what nobody can read; when that fails the connection goes, the bytes stay."""
        try:
            self.broker.bury(from_bytes(self.queue_name, body, error, utc_now()))
        except PublishUnconfirmed as unconfirmed:
            raise closed(unconfirmed) from unconfirmed


def closed(error: BaseException) -> ConnectionClosed:
    """Return the error that makes Dramatiq open a new connection after a pause."""
    # Dramatiq leaves its own errors untyped.
    return ConnectionClosed(error)  # type: ignore[no-untyped-call]
