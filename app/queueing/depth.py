"""How many messages wait in a queue, asked over AMQP: works with every RabbitMQ and no plug-in."""

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from app.errors import DependencyUnavailable
from app.queueing import topology


class DepthGauge:
    """Asks RabbitMQ for queue depths over one kept connection, opened at the first question."""

    def __init__(self, url: str) -> None:
        self._parameters = pika.URLParameters(url)
        self._parameters.socket_timeout = 5
        self._parameters.blocked_connection_timeout = 5
        self._channel: BlockingChannel | None = None

    def ready(self, queue: str) -> int:
        """Return how many messages of `queue` nobody has taken yet; 0 when it was never declared.

        Raises DependencyUnavailable. Messages in work are not counted.
        """
        return self.find(queue) or 0

    def find(self, queue: str) -> int | None:
        """Return the same as `ready`, but None when the queue was never declared."""
        try:
            return int(self._open().queue_declare(queue, passive=True).method.message_count)
        except pika.exceptions.ChannelClosedByBroker as error:
            self.close()
            if error.reply_code == 404:
                return None
            raise _away(error) from error
        except (pika.exceptions.AMQPError, OSError) as error:
            self.close()
            raise _away(error) from error

    def server_version(self) -> str:
        """Return the version RabbitMQ reports of itself; raises DependencyUnavailable."""
        try:
            properties = self._open().connection._impl.server_properties  # noqa: SLF001 - pika has no public door
        except (pika.exceptions.AMQPError, OSError) as error:
            raise _away(error) from error
        return str(properties.get("version", "unknown"))

    def verify(self) -> None:
        """Declare the topology that exists: changes nothing then.

        Raises ConfigurationInvalid where arguments differ, DependencyUnavailable.
        """
        try:
            topology.establish(self._parameters)
        except (pika.exceptions.AMQPError, OSError) as error:
            raise _away(error) from error

    def close(self) -> None:
        """Close the connection; the next question opens it again."""
        channel, self._channel = self._channel, None
        if channel is not None and channel.connection.is_open:
            channel.connection.close()

    def _open(self) -> BlockingChannel:
        if self._channel is None or not self._channel.is_open:
            self.close()
            self._channel = pika.BlockingConnection(self._parameters).channel()
        return self._channel


def _away(error: Exception) -> DependencyUnavailable:
    return DependencyUnavailable(
        "RabbitMQ cannot be reached.",
        why=f"{str(error) or type(error).__name__}.",
        fix="Check RABBITMQ_URL and that the server runs (`mailqueue doctor`).",
    )
