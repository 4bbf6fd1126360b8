"""Dramatiq's RabbitMQ broker with a retry ladder in RabbitMQ, confirms always, and dead letters.

Dramatiq keeps delayed messages unacked in worker memory, where 20,000 far ones starve a retry that
is due now; here a delay is a rung (topology.py).
"""

import datetime as dt
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import dramatiq
import pika
import pika.exceptions
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.common import q_name
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Interrupt, Middleware

from app.errors import InputInvalid, MessageMalformed, PublishUnconfirmed
from app.log import Event, logger
from app.metrics import MESSAGES_DEAD
from app.queueing import messages, topology
from app.queueing.consumer import LadderConsumer, closed
from app.queueing.dead_letters import DeadLetter
from app.queueing.messages import Outgoing
from app.queueing.steps import LADDER, Rung

# Pauses before each attempt: a queue that elects a new leader answers within a second, and a message
# that cannot be published is put back, which its delivery limit counts.
_PUBLISH_PAUSES_S = (0.0, 0.2, 1.0)
_BLOCKED_TIMEOUT_S = (
    30.0  # a memory or disk alarm stops confirms; better back to the queue than hang
)


class LadderBroker(RabbitmqBroker):
    """RabbitMQ with rungs instead of delay queues, confirms always, dead letters with reasons.

    `ladder` is ordered from the shortest rung to the longest. `record` is called with every dead
    letter after RabbitMQ has confirmed it; what it raises is logged, the dead letter stands.
    `read_here`: the queues the worker of this process reads; none outside a worker.
    """

    def __init__(
        self,
        *,
        url: str,
        middleware: list[Middleware],
        ladder: Sequence[Rung] = LADDER,
        record: Callable[[DeadLetter], None] | None = None,
    ) -> None:
        super().__init__(url=url, confirm_delivery=True, middleware=middleware)
        parameters = pika.URLParameters(url)
        parameters.blocked_connection_timeout = _BLOCKED_TIMEOUT_S
        self.parameters = parameters
        self.ladder = tuple(ladder)
        self.read_here: Collection[str] = ()
        self._record = record
        self._declaring = threading.Lock()
        self._is_declared = False

    @property
    def consumer_class(self) -> type[LadderConsumer]:
        """The consumer of every queue."""
        return LadderConsumer

    # ---- topology -----------------------------------------------------------------------------

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:
        """Note a queue; `ensure` declares the topology in RabbitMQ. There is no delay queue."""
        name = q_name(queue_name)
        if name not in self.queues:
            self.emit_before("declare_queue", name)
            self.queues.add(name)
            self._is_declared = False
            self.emit_after("declare_queue", name)
        if ensure:
            self._ensure_queue(name)

    def forget_topology(self) -> None:
        """Declare again before the next use: something was found missing."""
        self._is_declared = False

    def check_topology(self) -> None:
        """Declare everything, or raise what a person must settle (ConfigurationInvalid) at boot."""
        try:
            self._ensure_queue("")
        except ConnectionClosed as error:
            logger().warning(Event.DEPENDENCY_LOST, dependency="rabbitmq", error=str(error))

    def _ensure_queue(self, canonical_queue_name: str) -> None:  # noqa: ARG002 - all or nothing
        """Declare the whole topology once per process, so that any part of the fleet may start."""
        with self._declaring:
            if self._is_declared:
                return
            names = dict.fromkeys((*topology.WORK_QUEUES, *sorted(self.queues)))
            wanted = topology.topology(names, self.ladder)
            try:
                topology.declare(self.channel, wanted)
            except pika.exceptions.AMQPError as error:
                del self.connection
                raise closed(error) from None
            except BaseException:
                del self.connection
                raise
            self._is_declared = True

    # ---- publishing ---------------------------------------------------------------------------

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Publish a message; `delay` (ms) is rounded up to a rung.

        Raises InputInvalid for a delay longer than the ladder, PublishUnconfirmed when RabbitMQ
        does not confirm.
        """
        exchange = topology.retry_name(self.rung_for(delay)) if delay else ""
        self.emit_before("enqueue", message, delay)
        self.deliver(Outgoing(queue=message.queue_name, body=message.encode(), exchange=exchange))
        self.emit_after("enqueue", message, delay)
        return message

    def rung_for(self, delay_ms: int) -> Rung:
        """Return the shortest rung that is long enough, so that nothing comes back too early."""
        delay = dt.timedelta(milliseconds=delay_ms)
        for rung in self.ladder:
            if rung.delay >= delay:
                return rung
        raise InputInvalid(
            f"A message cannot be delayed by {delay}.",
            why=f"The longest rung of the ladder is {self.ladder[-1].delay}.",
            fix="Write what is due later into a row with its time: the clock releases it.",
        )

    def climb(self, message: dramatiq.MessageProxy, rung: Rung) -> None:
        """Put a message on a rung: it comes back to its queue after the rung's delay."""
        exchange = topology.retry_name(rung)
        self.deliver(Outgoing(queue=message.queue_name, body=message.encode(), exchange=exchange))

    def bury(self, letter: DeadLetter) -> None:
        """Publish a dead letter, then record it; raises PublishUnconfirmed when RabbitMQ is away."""
        self.deliver(letter.outgoing())
        MESSAGES_DEAD.labels(letter.queue).inc()
        logger().error(
            Event.MESSAGE_DEAD_LETTERED,
            queue=letter.queue,
            actor=letter.actor,
            error_class=letter.error_class,
            reason=letter.reason,
            attempts=letter.attempts,
            dead_letter_id=str(letter.id),
        )
        if self._record is None:
            return
        try:
            self._record(letter)
        except Exception as error:  # noqa: BLE001 - RabbitMQ holds the dead letter, its row can wait
            logger().warning(
                Event.DEPENDENCY_LOST,
                dependency="postgresql",
                dead_letter_id=str(letter.id),
                error=str(error),
            )

    def deliver(self, outgoing: Outgoing) -> None:
        """Publish one message and wait for its confirm; raises PublishUnconfirmed."""
        failure: Exception | None = None
        for pause_s in _PUBLISH_PAUSES_S:
            time.sleep(pause_s)
            try:
                self._ensure_queue(outgoing.queue)
                self._publish(outgoing)
            except (pika.exceptions.AMQPError, ConnectionClosed) as error:
                failure = error
                del self.connection
                self.forget_topology()
            else:
                return
        raise PublishUnconfirmed(
            f"RabbitMQ did not confirm a message for {outgoing.queue}.",
            why=f"{failure or 'It is away'}.",
            fix="The message it stands for is still in its queue and will be delivered again.",
        ) from failure

    def _publish(self, outgoing: Outgoing) -> None:
        self.channel.basic_publish(
            exchange=outgoing.exchange,
            routing_key=outgoing.queue,
            body=outgoing.body,
            properties=pika.BasicProperties(
                delivery_mode=2,
                content_type="application/json",
                headers=None if outgoing.headers is None else dict(outgoing.headers),
            ),
            mandatory=True,
        )

    # ---- reading ------------------------------------------------------------------------------

    def read(self, queue: str, body: bytes) -> dramatiq.Message[Any]:
        """Return the message in `body`; raises MessageMalformed for what no actor here can take."""
        message = messages.decode(body)
        actor = self.actors.get(message.actor_name)
        if actor is None:
            raise MessageMalformed(
                f"No actor is called {message.actor_name}.",
                fix="Start workers of the version that knows it, then retry this dead letter.",
                field="actor_name",
            )
        if message.queue_name != queue or actor.queue_name != queue:
            raise MessageMalformed(
                f"A message for {message.queue_name} arrived on {queue}.",
                why=f"{actor.actor_name} reads {actor.queue_name}.",
                fix="Publish it to its own queue.",
                field="queue_name",
            )
        if "eta" in message.options:
            raise MessageMalformed(
                "The option eta would hold this message in a worker's memory.",
                fix="Publish without a delay, or keep the time in a row.",
                field="options.eta",
            )
        return message

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Call the middlewares; a time limit that strikes while they run does not kill the thread.

        The message is not settled then, so it goes back to its queue.
        """
        try:
            super().emit_after(signal, *args, **kwargs)
        except Interrupt:
            logger().warning(Event.MESSAGE_REDELIVERED, signal=signal)
