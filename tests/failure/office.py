"""A post office: an SMTP server that notes what it accepted and misbehaves at any step, by rule.

It counts each mail at the moment it has the whole of it, before it answers: a mail that arrived
twice is seen, not inferred. One thread per connection; PIPELINING is offered.
"""

import contextlib
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import NoReturn

OK = b"250 2.0.0 Ok\r\n"
_END = b"\r\n.\r\n"


class Step(StrEnum):
    """Where a rule may act: before the reply to this."""

    GREETING = "greeting"
    HELLO = "hello"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


class HungUp(Exception):
    """The office ends a connection without a word."""


class Visit:
    """One connection, as a rule sees it; `address` is the recipient of the mail under way."""

    def __init__(self, office: "PostOffice", sock: socket.socket) -> None:
        self.address = ""
        self._office = office
        self._sock = sock
        self._buffer = bytearray()
        self._replies = bytearray()
        self._is_kept = False

    def keep(self) -> None:
        """Take responsibility for the mail: it has arrived, whatever is answered."""
        if not self._is_kept:
            self._is_kept = True
            self._office.note_arrival(self.address)

    def hold(self) -> None:
        """Say nothing until the office is released or the other side is gone."""
        self._flush()
        while not self._office.released.wait(0.02):
            ready, _, _ = select.select([self._sock], [], [], 0)
            if ready and not self._sock.recv(1, socket.MSG_PEEK):
                raise HungUp

    def part(self, last_words: bytes) -> NoReturn:
        """Say a last line and hang up."""
        self._replies += last_words
        raise HungUp

    def trickle(self, reply: bytes, pause_s: float) -> None:
        """Write a reply one byte at a time."""
        self._flush()
        for byte in reply:
            self._sock.sendall(bytes([byte]))
            if self._office.released.wait(pause_s):
                raise HungUp

    def serve(self) -> None:
        self._answer(Step.GREETING, b"220 office ESMTP\r\n")
        while True:
            verb, _, rest = self._read_until(b"\r\n").partition(b" ")
            match verb.upper():
                case b"EHLO":
                    self._answer(Step.HELLO, b"250-office\r\n250 PIPELINING\r\n")
                case b"MAIL":
                    self.address, self._is_kept = "", False
                    self._answer(Step.MAIL, OK)
                case b"RCPT":
                    self._recipient(rest)
                case b"DATA":
                    self._mail()
                case b"QUIT":
                    self._replies += b"221 2.0.0 Bye\r\n"
                    raise HungUp
                case _:
                    self._replies += OK

    def _recipient(self, rest: bytes) -> None:
        self.address = rest[rest.index(b"<") + 1 : rest.index(b">")].decode()
        reply = self._answer(Step.RCPT, OK)
        if reply[:1] == b"5":
            self._office.refused.add(self.address)
        if reply[:1] != b"2":
            self.address = ""

    def _mail(self) -> None:
        if not self.address:
            self._replies += b"503 5.5.1 no recipient\r\n"
            return
        if self._answer(Step.DATA, b"354 go\r\n")[:1] != b"3":
            return
        self._read_until(_END)
        if self._office.pace_s:
            self._flush()
            time.sleep(self._office.pace_s)
        rule = self._office.rules.get(Step.DOT)
        reply = (rule(self) if rule else None) or OK
        if reply[:1] == b"2":
            self.keep()
        elif reply[:1] == b"5":
            self._office.refused.add(self.address)
        self._replies += reply

    def _answer(self, step: Step, usual: bytes) -> bytes:
        rule = self._office.rules.get(step)
        reply = (rule(self) if rule else None) or usual
        self._replies += reply
        return reply

    def _read_until(self, end: bytes) -> bytes:
        start = 0
        while (found := self._buffer.find(end, start)) < 0:
            start = max(0, len(self._buffer) - len(end))
            self._flush()
            data = self._sock.recv(65_536)
            if not data:
                raise HungUp
            self._buffer += data
        taken = bytes(self._buffer[:found])
        del self._buffer[: found + len(end)]
        return taken

    def _flush(self) -> None:
        if self._replies:
            replies, self._replies = bytes(self._replies), bytearray()
            self._sock.sendall(replies)

    def last_words(self) -> None:
        with contextlib.suppress(OSError):
            self._flush()


Rule = Callable[[Visit], bytes | None]


class Gate:
    """A rule that holds every visit at its step; `reached` is set by the first."""

    def __init__(self, *, keeps: bool = False) -> None:
        self.reached = threading.Event()
        self._keeps = keeps

    def __call__(self, visit: Visit) -> bytes | None:
        if self._keeps:
            visit.keep()
        self.reached.set()
        visit.hold()
        return None


class PostOffice:
    """The server; `rules` may be changed while it works."""

    def __init__(self) -> None:
        self.rules: dict[Step, Rule] = {}
        self.released = threading.Event()
        self.accepted: Counter[str] = Counter()
        self.arrived_at: dict[str, float] = {}
        self.refused: set[str] = set()
        self.pace_s = 0.0
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()
        self.port = 0
        self._listener: socket.socket | None = None
        self.open()

    def open(self) -> None:
        """Listen, on the same port as before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._welcome, args=(listener,), daemon=True).start()

    def refuse_connections(self) -> None:
        """Close the door: who comes now is refused, who is inside is thrown out."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.throw_out()

    def throw_out(self) -> None:
        """Cut every connection."""
        with self._lock:
            live = list(self._live)
        for sock in live:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def behave(self) -> None:
        """Forget every rule and let those who are held go on."""
        self.rules.clear()
        self.released.set()
        time.sleep(0.05)
        self.released.clear()

    def close(self) -> None:
        self.released.set()
        self.refuse_connections()

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._live)

    def note_arrival(self, address: str) -> None:
        with self._lock:
            self.accepted[address] += 1
            self.arrived_at.setdefault(address, time.monotonic())

    def _welcome(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._receive, args=(sock,), daemon=True).start()

    def _receive(self, sock: socket.socket) -> None:
        with self._lock:
            self._live.add(sock)
        visit = Visit(self, sock)
        try:
            visit.serve()
        except HungUp:
            visit.last_words()
        except OSError:
            pass
        finally:
            with self._lock:
                self._live.discard(sock)
            sock.close()


class Pit:
    """A port whose connections never come to be: its backlog is full, a SYN is dropped."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def close(self) -> None:
        for sock in (*self._fillers, self._listener):
            sock.close()
