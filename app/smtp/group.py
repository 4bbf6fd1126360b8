"""A few persistent, pipelined connections to one server, driven by one thread.

SMTP is round trips, not CPU: one thread that keeps K connections busy sends as many mails as K
blocking threads, at a third of their CPU. Opening a connection blocks (resolver, TLS, AUTH), so it
happens in a short-lived thread each, while the loop sends over those that are open already. The
first connection of a group is opened alone: a wrong password is tried once, not K times.
"""

import contextlib
import queue
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from operator import itemgetter

from app.smtp.connection import Connection, Server, ServerUnusable, Stage
from app.smtp.dispatch import Dispatch
from app.smtp.journal import Journal
from app.smtp.opening import open_connection
from app.smtp.transaction import Attempt, Envelope

_READ = selectors.EVENT_READ
_READ_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE
_GROWTH_PAUSE_S = 60.0


class Group:
    """The connections of one thread to one server; kept across submits. Not thread-safe."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.connections: list[Connection] = []
        self.last_used = time.monotonic()
        self._opening = 0
        self._no_growth_until = 0.0
        self._arrivals: queue.SimpleQueue[Connection | ServerUnusable] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._closed = threading.Event()
        self._doorbell, self._bell_push = socket.socketpair()
        self._doorbell.setblocking(False)
        self._selector.register(self._doorbell, _READ, None)

    def submit(self, envelopes: Sequence[Envelope], journal: Journal) -> list[Attempt]:
        """Send the mails and return what became of each, in order.

        A server that cannot be used leaves them untried with the reason; nothing is raised for it.
        Returns at the latest when every deadline of `server.timeouts` has passed. When it raises
        all the same, the journal knows which mails left.
        """
        with self.stream(journal) as stream:
            stream.add(envelopes)
            return [attempt for _, attempt in sorted(stream.until_done(), key=itemgetter(0))]

    @contextlib.contextmanager
    def stream(self, journal: Journal) -> Iterator[Dispatch]:
        """Send mails that come bit by bit; see that none is under way at the end of the block.

        One stream at a time. When the block raises, the connections are closed and the journal
        knows which mails left.
        """
        try:
            dispatch = Dispatch(self, journal)
            dispatch.freshen()
            yield dispatch
        except BaseException:
            # A time limit or a shutdown may strike anywhere; replies still owed belong to mails
            # that nobody waits for, and the next submit must not take them for its own.
            self._drop_all()
            raise
        finally:
            self.last_used = time.monotonic()

    def close(self) -> None:
        """Say QUIT where nothing is owed and close everything; the group is done."""
        self._closed.set()
        for connection in list(self.connections):
            if not connection.expected:
                connection.send(b"QUIT\r\n")
            self.drop(connection)
        with contextlib.suppress(queue.Empty):
            while True:
                arrival = self._arrivals.get_nowait()
                if isinstance(arrival, Connection):
                    arrival.close()
        self._selector.close()
        self._doorbell.close()
        self._bell_push.close()

    def _drop_all(self) -> None:
        for connection in list(self.connections):
            self.drop(connection)

    # What follows is for Dispatch.

    def idle(self) -> list[Connection]:
        """Return the connections that negotiate no mail."""
        return [connection for connection in self.connections if connection.current is None]

    def is_deserted(self) -> bool:
        """Return whether there is no connection and none is being opened."""
        return not self.connections and not self._opening

    def grow(self, mails: int, now: float) -> None:
        """Open as many connections as `mails` can use, one at first."""
        wanted = min(self.server.connections, mails)
        if not self.connections:
            wanted = min(wanted, 1)
        elif now < self._no_growth_until:
            return
        for _ in range(wanted - len(self.connections) - self._opening):
            self._opening += 1
            threading.Thread(target=self._open, name="smtp-opening", daemon=True).start()

    def adopt(self, now: float) -> ServerUnusable | None:
        """Take over what has been opened; returns why an opening failed, if one did."""
        failure = None
        while self._opening:
            try:
                arrival = self._arrivals.get_nowait()
            except queue.Empty:
                break
            self._opening -= 1
            if isinstance(arrival, ServerUnusable):
                # Often a limit on connections: those we have go on, more are asked for later.
                failure = arrival
                self._no_growth_until = now + _GROWTH_PAUSE_S
                continue
            arrival.last_used = now
            self.connections.append(arrival)
            self._selector.register(arrival.sock, _READ, arrival)
        return failure

    def wait(self, seconds: float) -> list[Connection]:
        """Return the connections with something to read or room to write, after `seconds` at most."""
        ready = []
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                self._doorbell.recv(64)
            else:
                ready.append(key.data)
        return ready

    def watch(self, connection: Connection) -> None:
        """Ask for room to write while the connection has something left over."""
        events = _READ_WRITE if connection.rest and not connection.broken else _READ
        self._selector.modify(connection.sock, events, connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection and forget it."""
        if not connection.closed:
            self._selector.unregister(connection.sock)
            connection.close()
            self.connections.remove(connection)

    def _open(self) -> None:
        """Open one connection, in a thread of its own, and ring."""
        arrival: Connection | ServerUnusable
        arrival = ServerUnusable("The connection could not be opened.", stage=Stage.CONNECT)
        try:
            arrival = open_connection(self.server)
        except ServerUnusable as error:
            arrival = error
        finally:
            self._arrivals.put(arrival)
            if self._closed.is_set() and isinstance(arrival, Connection):
                arrival.close()
            with contextlib.suppress(OSError):
                self._bell_push.send(b"!")
