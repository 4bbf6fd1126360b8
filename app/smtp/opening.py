"""From a `Server` to a connection that may send: resolve, connect, banner, EHLO, TLS, AUTH.

Every step has a hard deadline over its whole reply. The steps block; a Group runs them in a thread
of their own, `check` runs them one by one and reports each.
"""

import base64
import ssl
import time

from app.smtp.connection import (
    Capabilities,
    Connection,
    Security,
    Server,
    ServerUnusable,
    Stage,
    is_loopback,
)
from app.smtp.dial import Dial, Step
from app.smtp.replies import Reply, ReplyBuffer


class Opening(Dial):
    """One connection in the making; `steps()` in order, then `connection()`."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._replies = ReplyBuffer()
        self._waiting: list[Reply] = []
        self.offered = Capabilities()

    def steps(self) -> list[Step]:
        """Return the steps this server needs, each a name and a call that says what it found."""
        start: list[Step] = [("resolve", self.resolve), ("connect", self.connect)]
        greet: list[Step] = [("banner", self.banner), ("ehlo", self.hello)]
        match self.server.security:
            case Security.TLS:
                way = [*start, ("tls", self.wrap), *greet]
            case Security.STARTTLS:
                way = [*start, *greet, ("tls", self.start_tls)]
            case Security.NONE:
                way = [*start, *greet]
        return [*way, ("auth", self.login)] if self.server.username else way

    def banner(self) -> str:
        """Wait for the greeting."""
        code, text = self._reply(Stage.CONNECT, self.server.timeouts.banner_s)
        if code != 220:
            raise self._refused("The server does not take connections", Stage.CONNECT, (code, text))
        return _words((code, text))

    def hello(self) -> str:
        """Introduce ourselves and note what the server offers."""
        limit_s = self.server.timeouts.hello_s
        self._write(b"EHLO %b\r\n" % self.server.helo.encode("ascii", "replace"), Stage.HELO)
        reply = self._reply(Stage.HELO, limit_s)
        if reply[0] >= 500:  # a server of before 1995: no extensions
            self._write(b"HELO %b\r\n" % self.server.helo.encode("ascii", "replace"), Stage.HELO)
            reply = self._reply(Stage.HELO, limit_s)
        if reply[0] != 250:
            raise self._refused("The server refused our greeting", Stage.HELO, reply)
        self.offered = capabilities(reply[1])
        return reply[1].decode("utf-8", "replace").replace("\n", ", ")

    def start_tls(self) -> str:
        """Turn the connection into TLS, or refuse: what was asked for is never left out."""
        if not self.offered.starttls:
            raise ServerUnusable(
                "The server does not offer STARTTLS.",
                stage=Stage.TLS,
                fix="Use its TLS port (465), or ask its operator.",
            )
        self._write(b"STARTTLS\r\n", Stage.TLS)
        reply = self._reply(Stage.TLS, self.server.timeouts.tls_s)
        if reply[0] != 220:
            raise self._refused("The server refused STARTTLS", Stage.TLS, reply)
        if self._waiting or not self._replies.is_empty():
            # Somebody on the way put words into the server's mouth (CVE-2011-0411).
            raise ServerUnusable("Plain bytes came before the TLS handshake.", stage=Stage.TLS)
        version = self.wrap()
        self.hello()
        return version

    def login(self) -> str:
        """Authenticate by PLAIN or LOGIN, never in clear beyond this machine."""
        sock = self.connected()
        if not isinstance(sock, ssl.SSLSocket) and not is_loopback(sock):
            raise ServerUnusable(
                "The password was not sent, because the connection is not encrypted.",
                stage=Stage.AUTH,
                fix="Set security to starttls or tls.",
            )
        user = (self.server.username or "").encode()
        password = (self.server.password or "").encode()
        if "PLAIN" in self.offered.auth:
            token = base64.b64encode(b"\0%b\0%b" % (user, password))
            reply = self._ask_auth(b"AUTH PLAIN " + token)
        elif "LOGIN" in self.offered.auth:
            reply = self._ask_auth(b"AUTH LOGIN")
            for secret in (user, password):
                reply = self._ask_auth(base64.b64encode(secret)) if reply[0] == 334 else reply
        else:
            offered = ", ".join(sorted(self.offered.auth)) or "no login"
            raise ServerUnusable(
                f"The server offers {offered}; PLAIN or LOGIN is needed.", stage=Stage.AUTH
            )
        if reply[0] != 235:
            wrong = reply[0] == 535
            what = "Wrong user name or password" if wrong else "The server refused the login"
            raise self._refused(what, Stage.AUTH, reply)
        return "logged in"

    def ask(self, command: bytes, stage: Stage) -> Reply:
        """Send one command line and return its reply."""
        self._write(command + b"\r\n", stage)
        return self._reply(stage, self.server.timeouts.command_s)

    def connection(self) -> Connection:
        """Hand the finished connection over; this object is done."""
        return Connection(self.connected(), self.peer, self.offered)

    def _ask_auth(self, line: bytes) -> Reply:
        self._write(line + b"\r\n", Stage.AUTH)
        return self._reply(Stage.AUTH, self.server.timeouts.auth_s)

    def _write(self, data: bytes, stage: Stage) -> None:
        sock = self.connected()
        sock.settimeout(self.server.timeouts.hello_s)
        try:
            sock.sendall(data)
        except OSError as error:
            raise self._gone(stage) from error

    def _reply(self, stage: Stage, limit_s: float) -> Reply:
        """Return the next whole reply; the deadline is for all of it, however it trickles in."""
        until = time.monotonic() + limit_s
        sock = self.connected()
        while not self._waiting:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise self._silent(stage, limit_s)
            sock.settimeout(left_s)
            try:
                data = sock.recv(65_536)
            except TimeoutError as error:
                raise self._silent(stage, limit_s) from error
            except OSError as error:
                raise self._gone(stage) from error
            if not data:
                raise self._gone(stage)
            self._waiting = self._replies.feed(data)
        reply = self._waiting.pop(0)
        if not reply[0]:
            raise self._refused("The server does not speak SMTP", stage, reply)
        return reply

    def _refused(self, what: str, stage: Stage, reply: Reply) -> ServerUnusable:
        return ServerUnusable(f"{what}: {_words(reply)}", stage=stage, reply=reply)

    def _silent(self, stage: Stage, limit_s: float) -> ServerUnusable:
        return ServerUnusable(f"The server gave no answer within {limit_s:g} s.", stage=stage)

    def _gone(self, stage: Stage) -> ServerUnusable:
        return ServerUnusable("The server closed the connection.", stage=stage)


def open_connection(server: Server) -> Connection:
    """Return a connection ready for MAIL FROM; raises ServerUnusable naming the stage."""
    opening = Opening(server)
    try:
        for _, step in opening.steps():
            step()
        return opening.connection()
    except ServerUnusable:
        opening.close()
        raise


def capabilities(text: bytes) -> Capabilities:
    """Read the text of a reply to EHLO (RFC 5321, 4.1.1.1); unknown keywords are ignored."""
    words = [line.upper().replace(b"AUTH=", b"AUTH ").split() for line in text.split(b"\n")[1:]]
    offers = {line[0]: line[1:] for line in words if line}
    size = offers.get(b"SIZE", [])
    return Capabilities(
        pipelining=b"PIPELINING" in offers,
        size=int(size[0]) if size and size[0].isdigit() else 0,
        smtputf8=b"SMTPUTF8" in offers,
        eight_bit=b"8BITMIME" in offers,
        dsn=b"DSN" in offers,
        starttls=b"STARTTLS" in offers,
        enhanced_codes=b"ENHANCEDSTATUSCODES" in offers,
        auth=frozenset(word.decode("ascii", "replace") for word in offers.get(b"AUTH", [])),
    )


def _words(reply: Reply) -> str:
    return f"{reply[0]} {reply[1].decode('utf-8', 'replace')}".replace("\n", " ")
