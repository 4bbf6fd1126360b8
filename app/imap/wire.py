"""The bytes under an IMAP dialogue (RFC 3501): a deadline over all of it, a cap on each answer.

A tenant names the server, so it may be hostile: one that sends a byte a second, or a literal of a
terabyte, must neither hold the thread nor fill the memory. `read`, `readline`, `send`, `open` and
`shutdown` are imaplib's own places for that.
"""

import imaplib
import socket
import time

_LONGEST_LINE = 1_048_576
_READ = 65_536
_USUAL_ANSWER = 4 * _LONGEST_LINE


class Wire(imaplib.IMAP4):
    """A dialogue over a socket that is connected already; `until_s` is monotonic.

    Raises OSError after the deadline, IMAP4.abort for an answer larger than allowed.
    """

    def __init__(self, sock: socket.socket, host: str, until_s: float) -> None:
        self._given = sock
        self._until_s = until_s
        self._waiting = bytearray()
        self._allowed = _USUAL_ANSWER
        super().__init__(host)

    def allow(self, octets: int) -> None:
        """Set how much the server may send from now on, beside the usual words.

        What it said without being asked is forgotten: the library would keep all of it.
        """
        self._allowed = octets + _USUAL_ANSWER
        self.untagged_responses.clear()

    @property
    def is_drained(self) -> bool:
        """Whether everything the server sent was read."""
        return not self._waiting

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        """Take the socket that was given."""
        del timeout
        self.host, self.port = host, port
        self.sock = self._given

    def replace(self, sock: socket.socket) -> None:
        """Go on over another socket: the same one, wrapped in TLS."""
        self.sock = sock

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes: a literal."""
        if size > self._allowed + len(self._waiting):
            raise self.abort(f"the server announced {size:,} bytes")
        while len(self._waiting) < size:
            self._receive()
        return self._taken(size)

    def readline(self) -> bytes:
        """Return the next line, its end included."""
        seen = 0
        while (end := self._waiting.find(b"\n", seen)) < 0:
            seen = len(self._waiting)
            if seen > _LONGEST_LINE:
                raise self.abort("a line without an end")
            self._receive()
        return self._taken(end + 1)

    def send(self, data: bytes) -> None:  # type: ignore[override]
        """Write all of it."""
        self.sock.settimeout(self._left_s())
        self.sock.sendall(data)

    def shutdown(self) -> None:
        """Hang up."""
        self.sock.close()

    def _taken(self, size: int) -> bytes:
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    def _receive(self) -> None:
        self.sock.settimeout(self._left_s())
        data = self.sock.recv(_READ)
        if not data:
            raise self.abort("the server closed the connection")
        self._allowed -= len(data)
        if self._allowed < 0:
            raise self.abort("the server sends more than was asked for")
        self._waiting += data

    def _left_s(self) -> float:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the time for this mailbox is over")
        return left_s
