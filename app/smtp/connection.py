"""One SMTP connection as the sending loop sees it: a non-blocking socket, plain or TLS.

Also what a server is (`Server`), what it may cost in time (`Timeouts`) and what it offers
(`Capabilities`). How a connection comes to be stands in app/smtp/opening.py.
"""

import ipaddress
import os
import socket
import ssl
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from app.errors import DependencyUnavailable
from app.smtp.replies import Reply, ReplyBuffer

if TYPE_CHECKING:
    from app.smtp.transaction import Transaction

_READ = 65_536
_TLS_PIECE = 65_536
_WOULD_BLOCK = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Security(StrEnum):
    """How the connection is protected: not at all, by STARTTLS or nothing, by TLS from the start."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class Stage(StrEnum):
    """Where in the dialogue something happened; `local` is before any server was asked."""

    LOCAL = "local"
    CONNECT = "connect"
    HELO = "helo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    RSET = "rset"
    EMPTY_DOT = "empty_dot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Hard limits in seconds for one whole reply, not for one read (RFC 5321, 4.5.3.2).

    `dot_s` covers writing the body as well as waiting for its reply. After `submit_s` no further
    mail of one submit begins, so that a slow server cannot outlast the lease of its mails.
    """

    connect_s: float = 30.0
    banner_s: float = 60.0
    hello_s: float = 60.0
    tls_s: float = 60.0
    auth_s: float = 60.0
    command_s: float = 300.0
    data_s: float = 120.0
    dot_s: float = 600.0
    submit_s: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One SMTP server and how to use it.

    `allowed_networks` (CIDR) widens the public internet. `max_mails` per connection, 0 = no limit;
    a connection idle for longer than `max_idle_s` is not used again. `ca_file` replaces the
    system's certificate authorities.
    """

    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    helo: str = "localhost"
    connections: int = 8
    allowed_networks: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    max_mails: int = 0
    max_idle_s: float = 60.0
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What the server announced in its reply to EHLO; `size` 0 means it named no limit."""

    pipelining: bool = False
    size: int = 0
    smtputf8: bool = False
    eight_bit: bool = False
    dsn: bool = False
    starttls: bool = False
    enhanced_codes: bool = False
    auth: frozenset[str] = frozenset()


class ServerUnusable(DependencyUnavailable):
    """A server could not be brought to take mail; `stage` and its reply say where and why."""

    def __init__(
        self, what: str, *, stage: Stage, reply: Reply = (0, b""), why: str = "", fix: str = ""
    ) -> None:
        super().__init__(what, why=why, fix=fix)
        self.stage = stage
        self.reply_code = reply[0]
        self.reply_text = reply[1].decode("utf-8", "replace")


class Connection:
    """An open connection after EHLO, TLS and AUTH; driven by one thread.

    `expected` holds the stage of every reply still owed, in order; the first must be complete by
    `deadline` (monotonic seconds). `behind_dot` is the mail whose final dot was handed over last,
    `current` the one whose envelope is being negotiated. `before_dot` counts down the bytes that
    stand between the socket and that dot.
    """

    __slots__ = (
        "before_dot", "behind_dot", "broken", "closed", "current", "deadline", "expected",
        "exposed", "host", "id", "is_reused", "last_used", "mails", "needs_reset", "offered",
        "replies", "rest", "sock", "tls",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, peer: str, offered: Capabilities) -> None:
        self.sock = sock
        self.host = peer
        self.id = os.urandom(5).hex()
        self.tls = tls_version(sock)
        self.offered = offered
        self.replies = ReplyBuffer()
        self.rest: memoryview | bytes = b""
        self.before_dot = 0
        self.exposed = 0
        self.expected: deque[Stage] = deque()
        self.deadline = 0.0
        self.current: Transaction | None = None
        self.behind_dot: Transaction | None = None
        self.needs_reset = False
        self.mails = 0
        self.last_used = 0.0
        self.is_reused = self.broken = self.closed = False
        sock.setblocking(False)

    def read(self) -> list[Reply]:
        """Return the replies that arrived; raises OSError when the connection is gone."""
        try:
            data = self.sock.recv(_READ)
        except _WOULD_BLOCK:
            return []
        if not data:
            raise ConnectionResetError("the server closed the connection")
        replies = self.replies.feed(data)
        # Bytes that TLS has decrypted already never make the socket readable again.
        while self.tls is not None and isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            replies += self.replies.feed(self.sock.recv(_READ))
        return replies

    def send(self, data: bytes) -> None:
        """Write what the socket takes now and keep the rest.

        Never raises: a broken socket is reported by the next read, behind the replies it still has.
        """
        if self.rest or self.broken or self.tls is not None:
            self.rest = memoryview(bytes(self.rest) + data if self.rest else data)
            self.flush()
            return
        # What nearly always happens, in one call: the socket takes everything.
        taken = 0
        try:
            taken = self.sock.send(data)
        except _WOULD_BLOCK:
            pass
        except OSError:
            self.broken = True
        self.before_dot -= taken
        if taken < len(data):
            self.rest = memoryview(data)[taken:]

    def flush(self) -> None:
        """Write more of what is kept."""
        while self.rest and not self.broken:
            piece = self.rest if self.tls is None else self.rest[:_TLS_PIECE]
            if self.tls is not None:
                # A TLS write that did not finish may have sent any part of its piece.
                self.exposed = len(piece)
            try:
                taken = self.sock.send(piece)
            except _WOULD_BLOCK:
                return
            except OSError:
                self.broken = True
                return
            self.rest = self.rest[taken:]
            self.before_dot -= taken
            self.exposed = 0

    def dot_has_left(self) -> bool:
        """Return whether any part of the final dot may have reached the server."""
        return self.before_dot - self.exposed < 0

    def close(self) -> None:
        """Close without a word: the server forgets what it was not given a final dot for."""
        self.closed = True
        self.sock.close()


def is_loopback(sock: socket.socket) -> bool:
    """Return whether the other end is this machine."""
    return ipaddress.ip_address(sock.getpeername()[0].partition("%")[0]).is_loopback


def tls_version(sock: socket.socket) -> str | None:
    """Return protocol and cipher of a TLS socket, None for a plain one."""
    if not isinstance(sock, ssl.SSLSocket):
        return None
    cipher = sock.cipher()
    return f"{sock.version()} {cipher[0]}" if cipher else sock.version()
