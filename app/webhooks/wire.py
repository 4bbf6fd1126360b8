"""One request to a checked address: hard deadline once connected, capped answer, no redirect.

Knows no database.

The standard library's client over a socket of our own: so the connection goes to the very address
that was checked, while TLS and Host speak of the name (TRUST.md). A timer shuts the socket at the
deadline, whatever the server is dripping.
"""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from app.clock import monotonic_s
from app.errors import DependencyUnavailable, MailqueueError
from app.webhooks.destination import Destination, Reach, address_of, parsed
from app.webhooks.retries import Reply

CONNECT_S = 5.0
DEADLINE_S = 10.0
KEPT_BYTES = 2_000
_FETCHED_BYTES = 65_536


def post(url: str, headers: Mapping[str, str], body: bytes, reach: Reach) -> Reply:
    """Send one delivery and return what came back; never raises for what a server can do."""
    started_s = monotonic_s()
    code, said, error = 0, b"", None
    try:
        ask = _Ask(method="POST", headers=headers, body=body, most_bytes=KEPT_BYTES)
        code, said, _ = _exchanged(parsed(url), ask, reach)
    except MailqueueError as refusal:
        error = str(refusal)
    except (OSError, http.client.HTTPException) as failure:
        error = f"{type(failure).__name__}: {failure}"[:500].replace("\0", "")
    if 300 <= code < 400:
        error = "The endpoint redirects; redirects are not followed."
    return Reply(
        code=code,
        error=error or (None if 200 <= code < 300 else f"The endpoint answered {code}."),
        body=said.decode("utf-8", "replace").replace("\0", ""),
        duration_ms=int((monotonic_s() - started_s) * 1000),
        headers=dict(headers),
    )


def get(url: str, reach: Reach) -> bytes:
    """Return what stands at a URL, less than 64 kB; raises InputInvalid, DependencyUnavailable."""
    ask = _Ask(method="GET", headers={}, body=b"", most_bytes=_FETCHED_BYTES)
    found = parsed(url)
    try:
        code, said, is_whole = _exchanged(found, ask, reach)
    except (OSError, http.client.HTTPException) as failure:
        raise _unfetched(found, str(failure)) from failure
    if code != HTTPStatus.OK:
        raise _unfetched(found, f"It answered {code}")
    if not is_whole:
        raise _unfetched(found, "Its answer was cut off, or too long")
    return said


def _unfetched(found: Destination, why: str) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"{found.host} did not give what was asked for.", why=f"{why}.", fix="Try again later."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    method: str
    headers: Mapping[str, str]
    body: bytes
    most_bytes: int


def _exchanged(found: Destination, ask: _Ask, reach: Reach) -> tuple[int, bytes, bool]:
    """Return the status, what was said, and whether that was all of it."""
    address = address_of(found, reach)
    with socket.create_connection((str(address), found.port), timeout=CONNECT_S) as plain:
        sock = _wrapped(plain, found)
        with sock, _deadline(sock):
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            client = http.client.HTTPConnection(found.host, found.port)
            client.sock = sock
            sent = {"Host": found.authority, "Connection": "close", **ask.headers}
            client.request(ask.method, found.target, body=ask.body or None, headers=sent)
            answer = client.getresponse()
            said = answer.read(ask.most_bytes)
            return answer.status, said, not answer.length and len(said) < ask.most_bytes


def _wrapped(plain: socket.socket, found: Destination) -> socket.socket:
    """Return the socket to speak through; its handshake is still to be made, under the deadline."""
    if found.scheme != "https":
        return plain
    return ssl.create_default_context().wrap_socket(
        plain, server_hostname=found.host, do_handshake_on_connect=False
    )


@contextmanager
def _deadline(sock: socket.socket) -> Iterator[None]:
    """Shut the socket when the time is over, and raise TimeoutError then.

    A cut answer must not count: to the client it looks like one that ended early.
    """
    is_over = threading.Event()
    timer = threading.Timer(DEADLINE_S, _shut, (sock, is_over))
    timer.daemon = True
    timer.start()
    try:
        sock.settimeout(DEADLINE_S)
        yield
    finally:
        timer.cancel()
    if is_over.is_set():
        raise TimeoutError(f"no whole answer within {DEADLINE_S:g} s")


def _shut(sock: socket.socket, is_over: threading.Event) -> None:
    is_over.set()
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended by itself
