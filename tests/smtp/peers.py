"""Peers for the wire: certificates, a server told by script, and mails to send."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.smtp.connection import Security, Server, Timeouts
from app.smtp.transaction import Envelope

LOOPBACK = ("127.0.0.0/8",)
BODY = b"From: a@example.com\r\nSubject: hello\r\nMessage-ID: <1@x>\r\n\r\nHello.\r\n"
QUICK = Timeouts(
    connect_s=2,
    banner_s=0.5,
    hello_s=0.5,
    tls_s=2,
    auth_s=0.5,
    command_s=0.5,
    data_s=0.5,
    dot_s=0.5,
)


class Certificates:
    """An authority and certificates it has signed, as files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        self.ca_file = str(directory / "ca.pem")
        ca = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0), 1)
        Path(self.ca_file).write_bytes(ca.public_bytes(serialization.Encoding.PEM))

    def context(self, name: str, days: int = 1) -> ssl.SSLContext:
        """Return a server context with a certificate for `name`; negative days: expired."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file(name, days))
        return context

    def file(self, name: str, days: int = 1) -> Path:
        """Return a new key and a certificate for `name`, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative: x509.GeneralName = x509.DNSName(name)
        with contextlib.suppress(ValueError):
            alternative = x509.IPAddress(ipaddress.ip_address(name))
        signed = self._signed(x509.Name([]), key, x509.SubjectAlternativeName([alternative]), days)
        path = self._directory / f"{name}{days}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def _signed(self, subject, key, extension, days):
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=9))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(extension, critical=True)
            .sign(self._key, hashes.SHA256())
        )


class Peer:
    """One connection of a ScriptedServer, seen from the script."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()

    def say(self, text: str) -> None:
        self.sock.sendall(text.encode().replace(b"\n", b"\r\n"))

    def read_until(self, end: bytes) -> bytes:
        start = 0
        while (found := self._buffer.find(end, start)) < 0:
            start = max(0, len(self._buffer) - len(end))
            data = self.sock.recv(65_536)
            if not data:
                raise ConnectionResetError
            self._buffer += data
        taken = bytes(self._buffer[:found])
        del self._buffer[: found + len(end)]
        return taken

    def read_slowly(self) -> None:
        """Make the window small, so that a large body cannot hide in the kernel's buffers."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)

    def line(self) -> bytes:
        return self.read_until(b"\r\n")

    def greet(self, *offers: str) -> None:
        self.say("220 scripted\n")
        self.line()
        words = ["scripted", *offers]
        self.say("".join(f"250-{w}\n" for w in words[:-1]) + f"250 {words[-1]}\n")

    def take_envelope(self, answers: str = "250 Ok\n250 Ok\n354 go\n") -> None:
        for _ in range(3):
            self.line()
        self.say(answers)

    def body(self) -> bytes:
        return self.read_until(b"\r\n.\r\n")


Script = Callable[[Peer], None]


def wait_for_the_end(peer: Peer) -> None:
    with contextlib.suppress(OSError):
        while peer.sock.recv(65_536):
            pass


def behaved(peer: Peer) -> None:
    """Take every mail, one connection long, pipelined or not."""
    peer.greet("PIPELINING")
    while True:
        peer.take_envelope()
        peer.body()
        peer.say("250 2.0.0 Ok\n")


class ScriptedServer:
    """Plays one script per connection, in order; the last one is repeated."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._peers: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                script = self._scripts[min(self.connections, len(self._scripts) - 1)]
                self.connections += 1
                self._peers.append(sock)
                thread = threading.Thread(target=self._play, args=(script, sock), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _play(self, script: Script, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            script(Peer(sock))
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._peers:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def server_at(port: int, **fields) -> Server:
    defaults = {
        "host": "127.0.0.1",
        "security": Security.NONE,
        "connections": 4,
        "allowed_networks": LOOPBACK,
        "timeouts": QUICK,
    }
    return Server(port=port, **(defaults | fields))


def mail(number: int = 0, to: str = "", body: bytes = BODY, **fields) -> Envelope:
    recipient = to or f"reader{number}@example.com"
    return Envelope(
        key=b"%032x 1" % number,
        mail_from=fields.pop("mail_from", b"sender@example.com"),
        rcpt_to=recipient.encode(),
        render=lambda: body,
        **fields,
    )
