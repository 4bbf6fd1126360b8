"""From a `Server` to a folder that may be read: TLS, login, EXAMINE (RFC 3501, 6.3.2).

The steps are those of app/smtp/opening up to the greeting, so that both are tested alike. The
folder is opened read-only: nothing we do changes, marks or deletes a mail.
"""

import datetime as dt
import imaplib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from imapclient import IMAPClient

from app.imap.wire import Wire
from app.smtp.connection import Security, Server, ServerUnusable, Stage
from app.smtp.dial import Dial, Step

T = TypeVar("T")

_NUMBERS = range(1, 2**32)  # RFC 3501, 9: nz-number
# What nonsense makes the library raise; it reads brackets within brackets by calling itself.
_FAULTS = (
    imaplib.IMAP4.error,
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What a server says of a folder (RFC 3501, 2.3.1.1): UIDs below `next_uid` are given away."""

    validity: int
    next_uid: int
    mails: int


class _Client(IMAPClient):  # type: ignore[misc]  # the library has no types
    """IMAPClient over a wire of ours."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        super().__init__(wire.host, ssl=False)
        wire.debug = 0  # else every line is formatted for a log that nobody reads

    def _create_IMAP4(self) -> Wire:  # noqa: N802 - the library's name
        return self._wire


class Opening(Dial):
    """One mailbox being opened; `steps()` in order, then the questions. Over after `limit_s`."""

    def __init__(self, server: Server, folder: str, limit_s: float) -> None:
        super().__init__(server)
        self._until_s = time.monotonic() + limit_s
        self._name = folder
        self._wire: Wire | None = None
        self._client: _Client | None = None
        self.folder = Folder(validity=0, next_uid=0, mails=0)

    def steps(self) -> list[Step]:
        """Return the steps, each a name and a call that says what it found."""
        start: list[Step] = [("resolve", self.resolve), ("connect", self.connect)]
        greet: Step = ("banner", self.greet)
        finish: list[Step] = [("auth", self.login), ("folder", self.examine)]
        if self.server.security is Security.TLS:
            return [*start, ("tls", self.wrap), greet, *finish]
        return [*start, greet, ("tls", self.start_tls), *finish]

    def greet(self) -> str:
        """Wait for the greeting, and hear what the server can."""
        with self._blamed("The server did not greet as an IMAP server does", Stage.HELO):
            self._wire = Wire(self.connected(), self.server.host, self._until_s)
            self._client = _Client(self._wire)
            if self._wire.state != "NONAUTH":
                raise ValueError(self._wire.state)
        return ", ".join(self._wire.capabilities)

    def start_tls(self) -> str:
        """Turn the connection into TLS, or refuse: what was asked for is never left out."""
        wire = self._met(self._wire)
        if "STARTTLS" not in wire.capabilities:
            raise ServerUnusable(
                "The server does not offer STARTTLS.",
                stage=Stage.TLS,
                fix="Use its TLS port (993), or ask its operator.",
            )
        with self._blamed("The server refused STARTTLS", Stage.TLS):
            answer, _ = wire.xatom("STARTTLS")
            if answer != "OK":
                raise ValueError(answer)
        if not wire.is_drained:
            # Somebody on the way put words into the server's mouth (CVE-2011-0411).
            raise ServerUnusable("Plain bytes came before the TLS handshake.", stage=Stage.TLS)
        version = self.wrap()
        wire.replace(self.connected())
        return version

    def login(self) -> str:
        """Log in; the connection is encrypted by now."""
        client = self._met(self._client)
        user, password = self.server.username or "", self.server.password or ""
        with self._blamed("The server refused the login", Stage.AUTH):
            offered = client._do_capabilites()  # noqa: SLF001 - those of before TLS prove nothing
            if b"AUTH=PLAIN" in offered:
                client.plain_login(user, password)
            else:
                client.login(user, password)
        return "logged in"

    def examine(self) -> str:
        """Open the folder, read-only."""
        client = self._met(self._client)
        with self._blamed(f"The folder {self._name!r} cannot be opened", Stage.AUTH):
            said = client.select_folder(self._name, readonly=True)
            self.folder = Folder(
                validity=int(said[b"UIDVALIDITY"]),
                next_uid=int(said[b"UIDNEXT"]),
                mails=int(said[b"EXISTS"]),
            )
            if self.folder.validity not in _NUMBERS or self.folder.next_uid not in _NUMBERS:
                raise ValueError(self.folder)
        return f"{self.folder.mails:,} mails"

    def uids_since(self, day: dt.date) -> list[int]:
        """Return the UIDs of mails that arrived on `day` or later, by the server's calendar."""
        found = self._ask(lambda client: client.search(["SINCE", day]))
        return [uid for uid in found if uid in _NUMBERS]

    def uids_between(self, first: int, last: int) -> list[int]:
        """Return the UIDs from `first` to `last`, both included."""
        found = self._ask(lambda client: client.search(["UID", f"{first}:{last}"]))
        return [uid for uid in found if first <= uid <= last]

    def fetch(self, uid: int, most_bytes: int) -> bytes | None:
        """Return a mail, cut after `most_bytes`; None when it is gone. It stays unread."""
        wire = self._met(self._wire)
        wire.allow(most_bytes)
        item = f"BODY.PEEK[]<0.{most_bytes}>"
        found = self._ask(lambda client: client.fetch([uid], [item])).get(uid, {})
        wire.allow(0)
        raw = found.get(b"BODY[]<0>")
        return raw[:most_bytes] if isinstance(raw, bytes) else None

    def close(self) -> None:
        """Say goodbye when that is possible, and hang up."""
        if self._client is not None:
            try:
                self._client.logout()
            except _FAULTS:
                self._client.shutdown()
        super().close()

    def _ask(self, question: Callable[[_Client], T]) -> T:
        client = self._met(self._client)
        with self._blamed("The mailbox could not be read", Stage.AUTH):
            return question(client)

    def _met(self, what: T | None) -> T:
        if what is None:
            raise ServerUnusable("Not connected.", stage=Stage.CONNECT)
        return what

    @contextmanager
    def _blamed(self, what: str, stage: Stage) -> Iterator[None]:
        """Turn whatever a server may do to the library into one error with a sentence."""
        try:
            yield
        except ServerUnusable:
            raise
        except TimeoutError as error:
            raise ServerUnusable("The server did not answer in time.", stage=stage) from error
        except _FAULTS as error:
            raise ServerUnusable(f"{what}: {error}", stage=stage) from error
