"""What the inbox's SMTP server offers, and what its connections share."""

import ssl
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.inbox.store import Store

if TYPE_CHECKING:
    from app.inbox.session import Session

_MOST_GREYLISTED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the server offers, on which address. `login` (user, password) makes AUTH compulsory.

    `tls` alone offers STARTTLS; with `implicit_tls` the connection starts in TLS. `size` is the
    largest mail in bytes.
    """

    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    login: tuple[str, str] | None = None
    auth: str = "PLAIN LOGIN"
    pipelining: bool = True
    smtputf8: bool = True
    size: int = 32 << 20

    def announced(self, *, is_tls: bool) -> bytes:
        """Return the reply to EHLO."""
        lines = ["inbox", f"SIZE {self.size}", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN"]
        if self.pipelining:
            lines.append("PIPELINING")
        if self.smtputf8:
            lines.append("SMTPUTF8")
        if self.tls is not None and not is_tls:
            lines.append("STARTTLS")
        if self.login is not None:
            lines.append(f"AUTH {self.auth}")
        return "".join(
            [f"250-{line}\r\n" for line in lines[:-1]] + [f"250 {lines[-1]}\r\n"]
        ).encode()


@dataclass(slots=True, kw_only=True)
class Shared:
    """What all connections share; touched by the loop's thread only, but for the store."""

    store: Store
    offer: Offer
    live: set["Session"] = field(default_factory=set)
    _greylisted: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def is_first_visit(self, address: str) -> bool:
        """Return whether a greylisted address is seen for the first time, and remember it."""
        if address in self._greylisted:
            return False
        self._greylisted[address] = None
        if len(self._greylisted) > _MOST_GREYLISTED:
            self._greylisted.popitem(last=False)
        return True
