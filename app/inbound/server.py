"""`mailqueue inbound`: an SMTP server for what comes back, behind Postfix (docs/inbound.md).

The accounts' mailboxes are read beside it, and alone where no inbound domain is set. aiosmtpd speaks the protocol; the connection class bounds what a peer may make it hold in memory.
"""

import asyncio
import contextlib
import signal
import threading
from typing import Self

from aiosmtpd.smtp import SMTP

from app.config import Settings
from app.errors import ConfigurationInvalid, DependencyUnavailable
from app.inbound.addresses import Addresses
from app.inbound.mailboxes import MailboxReader
from app.inbound.rate import PeerRate
from app.inbound.reception import Reception
from app.log import Event, logger
from app.mail.verp import CodedDomain, coded_domain
from app.queueing.publisher import BatchPublisher
from app.release import VERSION

_IDLE_S = 300.0  # RFC 5321, 4.5.3.2.7
_STOP_S = 30.0
_BACKLOG = 512


class Connection(SMTP):
    """One connection. Returned mail has long lines; a line without an end must not fill the memory."""

    line_length_limit = 1_048_576

    def __init__(self, reception: Reception, max_bytes: int, host: str) -> None:
        super().__init__(
            reception,
            data_size_limit=max_bytes,
            enable_SMTPUTF8=True,
            hostname=host,
            ident=f"mailqueue {VERSION}",
            timeout=_IDLE_S,
        )
        self._most = 2 * max_bytes + self.line_length_limit
        self._taken = 0

    def data_received(self, data: bytes) -> None:
        """Take bytes; hang up on a mail twice as large as was announced."""
        self._taken += len(data)
        if self._taken > self._most and isinstance(self.transport, asyncio.Transport):
            logger().warning(Event.INBOUND_REFUSED, why="endless mail")
            self.transport.abort()
            return
        super().data_received(data)

    def _set_post_data_state(self) -> None:
        self._taken = 0
        super()._set_post_data_state()  # type: ignore[no-untyped-call]


class InboundServer:
    """The server in this process: `start()`, use `port`, `stop()`; also a context manager."""

    def __init__(self, now: Settings) -> None:
        self.port = now.inbound_port
        self._now = now
        self._publisher = BatchPublisher(now.rabbitmq_url)
        addresses = Addresses(coded=_coded(now), complaints=now.inbound_complaints.strip())
        self._reception = Reception(
            addresses, PeerRate(now.inbound_per_minute), now.database_url, self._publisher
        )
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="inbound-smtp")

    def start(self) -> Self:
        """Listen; raises DependencyUnavailable when the port is taken. Port 0 takes a free one."""
        host = self._now.inbound_host
        try:
            self._server = self._loop.run_until_complete(self._listen(host))
        except OSError as error:
            self._loop.close()
            raise DependencyUnavailable(
                f"The inbound server cannot listen on {host} port {self.port}.",
                why=f"{error.strerror}.",
                fix="Stop what uses it, or set MAILQUEUE_INBOUND_PORT.",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread.start()
        return self

    def stop(self) -> None:
        """Take no more mail; what is being stored is stored, its sender may not hear of it."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)
        self._loop.close()
        self._reception.close()
        self._publisher.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _listen(self, host: str) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._connection, host, self.port, backlog=_BACKLOG)

    def _connection(self) -> Connection:
        return Connection(self._reception, self._now.inbound_max_bytes, self._now.helo_name)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _coded(now: Settings) -> CodedDomain:
    found = coded_domain(now.inbound_domain, now.tracking_keys.get_secret_value())
    if found is None:
        raise ConfigurationInvalid(
            "MAILQUEUE_INBOUND_DOMAIN is not set.",
            why="The inbound server takes mail for addresses of that domain only.",
            fix="Set it to a domain whose MX leads here (docs/inbound.md).",
            field="inbound_domain",
        )
    return found


def serve(now: Settings) -> None:
    """Read mailboxes, and listen where there is an inbound domain, until SIGTERM or Ctrl-C."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with contextlib.ExitStack() as running:
        running.enter_context(MailboxReader(now))
        port = running.enter_context(InboundServer(now)).port if now.inbound_domain else None
        logger().info(Event.PROCESS_STARTED, process="inbound", port=port)
        stopped.wait()
    logger().info(Event.PROCESS_STOPPED, process="inbound")
