"""What the inbound server says to each command: whose mail is taken, and when it is safe (RFC 5321).

Only coded addresses whose MAC holds are taken, and the address of feedback loops; there is no way
to another host, so nothing is relayed. 250 means committed in PostgreSQL: the job may get lost, the row is published again.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, LifoQueue
from uuid import UUID

from aiosmtpd.smtp import SMTP, Envelope, Session

from app.clock import monotonic_s
from app.db import session as db
from app.db.session import CONNECTION_LOST
from app.errors import MailqueueError
from app.feedback import messages
from app.feedback.messages import Arrival
from app.inbound.addresses import Addresses
from app.inbound.rate import PeerRate
from app.log import Event, logger
from app.privacy import masked
from app.queueing.publisher import BatchPublisher

_MOST_RECIPIENTS = 100
_THREADS = 8  # mails written at once, each on a database session of its own

_OK = "250 2.1.5 Ok"
_TOO_FAST = "451 4.7.1 Too many mails from you; try again in a minute"
_TOO_MANY = "452 4.5.3 Too many recipients"
_NO_RELAY = "550 5.7.1 This server relays no mail"
_NOBODY = "550 5.1.1 No such address"
_LATER = "451 4.3.0 The mail could not be stored; try again later"


class Reception:
    """The handler of all connections of a process."""

    def __init__(
        self, addresses: Addresses, rate: PeerRate, dsn: str, publisher: BatchPublisher
    ) -> None:
        self._addresses = addresses
        self._rate = rate
        self._dsn = dsn
        self._publisher = publisher
        self._idle: LifoQueue[db.Session] = LifoQueue()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="inbound")

    def close(self) -> None:
        """Finish what is being stored."""
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get().close()

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a transaction, unless its peer is too fast."""
        if not self._rate.takes(_peer(session), monotonic_s()):
            logger().warning(Event.INBOUND_REFUSED, peer=_peer(session), why="rate")
            return _TOO_FAST
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient whose address names a mail and was signed here, or is for complaints."""
        if not self._addresses.is_ours(address):
            return _NO_RELAY
        if not self._addresses.takes(address):
            logger().info(
                Event.INBOUND_REFUSED, peer=_peer(session), to=masked(address), why="no token"
            )
            return _NOBODY
        if len(envelope.rcpt_tos) >= _MOST_RECIPIENTS:
            return _TOO_MANY
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return _OK

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Answer 250 after the mail is committed, and 451 when it is not."""
        arrivals = self._arrivals(envelope)
        loop = asyncio.get_running_loop()
        try:
            stored = await loop.run_in_executor(self._threads, self._keep, arrivals)
        except (*CONNECTION_LOST, MailqueueError) as error:
            logger().warning(Event.DEPENDENCY_LOST, dependency="postgresql", error=str(error))
            return _LATER
        logger().info(Event.INBOUND_STORED, peer=_peer(session), messages=stored)
        return "250 2.0.0 Stored"

    async def handle_exception(self, error: Exception) -> str:
        """Answer whatever went wrong with "later": nothing is lost by that."""
        logger().error(Event.INBOUND_REFUSED, why=type(error).__name__, error=str(error))
        return _LATER

    def _arrivals(self, envelope: Envelope) -> list[Arrival]:
        """Return one mail per address. What delivers a mail notes its return path (RFC 5321, 4.4)."""
        sender = (envelope.mail_from or "").removeprefix("<").removesuffix(">")  # null: "<>"
        content = envelope.original_content or b""
        raw = b"Return-Path: <%b>\r\n%b" % (sender.encode("utf-8", "replace"), content)
        named = dict.fromkeys(address.lower() for address in envelope.rcpt_tos)
        return [self._addresses.arrival(address, sender, raw) for address in named]

    def _keep(self, arrivals: Sequence[Arrival]) -> int:
        """Store, then publish the job; RabbitMQ away is no reason to refuse what is committed."""
        try:
            ids = self._store(arrivals)
        except CONNECTION_LOST:  # an idle session died: the next one is a new one
            ids = self._store(arrivals)
        messages.announce(self._publisher, ids)
        return len(ids)

    def _store(self, arrivals: Sequence[Arrival]) -> list[UUID]:
        """Store on an idle session, or a new one; a session that failed is closed."""
        try:
            session = self._idle.get_nowait()
        except Empty:
            session = db.connect(self._dsn)
        try:
            ids = messages.store(session, arrivals)
        except BaseException:
            session.close()
            raise
        self._idle.put(session)
        return ids


def _peer(session: Session) -> str:
    return str(session.peer[0]) if session.peer else "local"
