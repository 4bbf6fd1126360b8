"""The development inbox: an SMTP server that keeps every mail, and a web page to read them.

`serve` runs it as a process of its own; `Inbox` runs it inside another one (tests, demo).
"""

import asyncio
import signal
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Self

from app.errors import DependencyUnavailable
from app.inbox.offer import Offer, Shared
from app.inbox.session import Session
from app.inbox.store import Message, Store
from app.inbox.web import make_server

_BACKLOG = 512
_STOP_S = 10.0
_POLL_S = 0.05


class Inbox:
    """An inbox in this process: `start()`, use its ports, `stop()`; also a context manager.

    Port 0 takes a free one; `smtp_port` and `http_port` hold the real ones after `start()`.
    """

    def __init__(
        self, directory: Path, smtp_port: int = 0, http_port: int = 0, offer: Offer | None = None
    ) -> None:
        self.smtp_port = smtp_port
        self.http_port = http_port
        self.store = Store(directory)
        self._shared = Shared(store=self.store, offer=offer or Offer())
        self.host = self._shared.offer.host
        self._loop = asyncio.new_event_loop()
        self._http: ThreadingHTTPServer | None = None
        self._server: asyncio.Server | None = None
        self._threads: list[threading.Thread] = []

    def start(self) -> Self:
        """Listen on both ports; raises DependencyUnavailable naming a port that is taken."""
        try:
            self._server = self._loop.run_until_complete(self._listen())
            self.smtp_port = self._server.sockets[0].getsockname()[1]
            self._http = make_server(self.host, self.http_port, self.store)
            self.http_port = self._http.server_port
        except OSError as error:
            self._loop.close()
            raise DependencyUnavailable(
                f"The inbox cannot listen on {self.host} ports {self.smtp_port} and {self.http_port}.",
                why=f"{error.strerror}.",
                fix="Stop what uses them, or choose other ports.",
            ) from error
        self._threads = [
            threading.Thread(target=self._loop.run_forever, name="inbox-smtp", daemon=True),
            threading.Thread(
                target=self._http.serve_forever, args=(_POLL_S,), name="inbox-http", daemon=True
            ),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Close every connection and both ports; the mails stay on disk."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
        self._loop.call_soon_threadsafe(self._close_connections)
        for thread in self._threads:
            thread.join(_STOP_S)
        self._loop.close()
        self.store.close()

    def hang_up(self) -> None:
        """Close every SMTP connection, as a server does that restarts; goes on listening."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def messages(self) -> list[Message]:
        """Return every mail kept so far, in the order of arrival."""
        return list(self.store.messages())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _listen(self) -> asyncio.Server:
        offer = self._shared.offer
        return await asyncio.get_running_loop().create_server(
            lambda: Session(self._shared),
            self.host,
            self.smtp_port,
            backlog=_BACKLOG,
            ssl=offer.tls if offer.implicit_tls else None,
        )

    def _abort_all(self) -> None:
        for session in list(self._shared.live):
            session.close()

    def _close_connections(self) -> None:
        if self._server is not None:
            self._server.close()
        self._abort_all()
        # One more round of the loop, so that every transport hears that it is closed.
        self._loop.call_later(0.05, self._loop.stop)


def serve(host: str, smtp_port: int, http_port: int, directory: Path) -> None:
    """Run the inbox until SIGTERM or Ctrl-C; the mails of earlier runs are still there."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with Inbox(directory, smtp_port, http_port, Offer(host=host)):
        stopped.wait()
