"""From a `Server` to a socket: resolve, connect, TLS. Whatever protocol is spoken afterwards.

The name is looked up once, only to addresses we dare to connect to; every step has a deadline.
"""

import functools
import socket
import ssl
import time
from collections.abc import Callable

from app.errors import DependencyUnavailable, InputInvalid
from app.smtp.connection import Server, ServerUnusable, Stage
from app.smtp.resolve import Address, resolve

Step = tuple[str, Callable[[], str]]

_MOST_ADDRESSES = 4
_HOSTNAME_MISMATCH = (62, 64)
_EXPIRED = 10


class Dial:
    """One socket in the making; each step says what it found and raises ServerUnusable."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.peer = server.host
        self._addresses: list[Address] = []
        self._sock: socket.socket | None = None

    def resolve(self) -> str:
        """Look the name up, once; later steps use only these addresses."""
        server = self.server
        try:
            found = resolve(server.host, server.port, server.allowed_networks)
        except (InputInvalid, DependencyUnavailable) as error:
            raise ServerUnusable(
                error.what, stage=Stage.CONNECT, why=error.why, fix=error.fix
            ) from error
        self._addresses = found[:_MOST_ADDRESSES]
        return ", ".join(map(str, self._addresses))

    def connect(self) -> str:
        """Connect to the first resolved address that answers, all within one deadline."""
        server = self.server
        until = time.monotonic() + server.timeouts.connect_s
        for left, address in zip(range(len(self._addresses), 0, -1), self._addresses, strict=True):
            share_s = max(0.001, (until - time.monotonic()) / left)
            try:
                self._sock = socket.create_connection((str(address), server.port), share_s)
            except OSError as error:
                failure = error
                continue
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peer = f"{server.host}[{address}]"
            return f"{address} port {server.port}"
        raise self._unconnected(failure) from failure

    def wrap(self) -> str:
        """Shake hands; the certificate must be good for the host's name."""
        server = self.server
        sock = self.connected()
        sock.settimeout(server.timeouts.tls_s)
        try:
            context = tls_context(server.ca_file)
            wrapped = context.wrap_socket(sock, server_hostname=server.host)
        except (OSError, ValueError) as error:
            raise self._no_tls(error) from error
        self._sock = wrapped
        return str(wrapped.version())

    def close(self) -> None:
        """Let go of the socket, if there is one."""
        if self._sock is not None:
            self._sock.close()

    def connected(self) -> socket.socket:
        """Return the socket; raises ServerUnusable before there is one."""
        if self._sock is None:
            raise ServerUnusable("Not connected.", stage=Stage.CONNECT)
        return self._sock

    def _unconnected(self, error: OSError) -> ServerUnusable:
        where = f"{self.server.host} port {self.server.port}"
        if isinstance(error, TimeoutError):
            what = f"{where} did not answer within {self.server.timeouts.connect_s:g} s."
        elif isinstance(error, ConnectionRefusedError):
            what = f"Nothing listens on {where}."
        else:
            what = f"{where} cannot be reached: {error.strerror or error}."
        return ServerUnusable(what, stage=Stage.CONNECT, fix="Check host and port, and firewalls.")

    def _no_tls(self, error: OSError | ValueError) -> ServerUnusable:
        host = self.server.host
        if isinstance(error, ssl.SSLCertVerificationError):
            what = _certificate_fault(error, host)
        elif isinstance(error, TimeoutError):
            what = f"The TLS handshake did not end within {self.server.timeouts.tls_s:g} s."
        elif isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
            what = "The server does not speak TLS on this port; security starttls may be right."
        else:
            what = f"The TLS handshake failed: {error}."
        return ServerUnusable(what, stage=Stage.TLS)


@functools.lru_cache(maxsize=32)
def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return the verifying client context of a certificate authority file, or of the system."""
    return ssl.create_default_context(cafile=ca_file)


def _certificate_fault(error: ssl.SSLCertVerificationError, host: str) -> str:
    if error.verify_code in _HOSTNAME_MISMATCH:
        return f"The server's certificate is for another name than {host}."
    if error.verify_code == _EXPIRED:
        return "The server's certificate has expired."
    return f"The server's certificate is not trusted: {error.verify_message}."
