"""A mail server that answers each recipient as a table says: what stands behind Postfix."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from infra.local.ports import LOOPBACK, free_port

_OK = "250 2.0.0 Ok"


class At(StrEnum):
    """When a server says what it thinks of a mail."""

    RCPT = "rcpt"
    DOT = "dot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """A reply, and when it is given."""

    reply: str
    at: At = At.RCPT


class _Handler:
    def __init__(self, table: Mapping[str, Says]) -> None:
        self._table = table

    def _said(self, address: str, at: At) -> str:
        says = self._table[address]
        return says.reply if says.at is at else _OK

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        said = self._said(address, At.RCPT)
        if said.startswith("250"):
            envelope.rcpt_tos.append(address)
        return said

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        return self._said(envelope.rcpt_tos[0], At.DOT)


@contextmanager
def refusing(table: Mapping[str, Says]) -> Iterator[int]:
    """Run one; yield its port."""
    server = Controller(_Handler(table), hostname=LOOPBACK, port=free_port())
    server.start()
    try:
        yield server.port
    finally:
        server.stop()
