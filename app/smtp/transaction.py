"""One mail's SMTP transaction: what is asked for, what it looks like on the wire, what became of it.

RFC 5321 with SIZE (1870), 8BITMIME (6152), SMTPUTF8 (6531), DSN (3461). What must never reach a
server is refused here: bare CR or LF and over-long lines (SMTP smuggling), addresses that could
carry a second command.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from app.smtp.connection import Capabilities, Stage
from app.smtp.replies import Reply
from app.smtp.wire import wire_form

_ADDRESS = re.compile(rb"[^\x00-\x20\x7f<>]{1,320}")
_XTEXT = re.compile(rb"[^!-*,-<>-~]")


class Verdict(StrEnum):
    """What one attempt came to.

    accepted: 2xx to the final dot. deferred: a 4xx reply to this mail. refused: a 5xx reply to this
    mail, or a local refusal that no server would change. unknown: the final dot left and its reply
    never came. untried: the server never had the whole mail, by no fault of the mail.
    """

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    UNTRIED = "untried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One mail to send: `key` names it in the journal, `render` makes its bytes when they are due.

    `mail_from` may be empty (the null return path). `render()` returns CRLF lines, not dot-stuffed.
    A non-empty `envid` asks for failure and delay notices where the server offers DSN. Without
    `keeps_dialogue` a plain success tells only its last reply; whatever else happens is told whole.
    """

    key: bytes
    mail_from: bytes
    rcpt_to: bytes
    render: Callable[[], bytes]
    smtputf8: bool = False
    envid: bytes = b""
    keeps_dialogue: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of one mail; `dialogue` is ((milliseconds since MAIL FROM, reply), ...) or empty.

    `elapsed_ms` runs from the final dot to its reply, or from MAIL FROM to the refusal.
    `code` is 0 where no server spoke; local refusals carry the code a server would have used.
    """

    verdict: Verdict
    code: int
    text: str
    stage: Stage
    elapsed_ms: float = 0.0
    dialogue: tuple[tuple[int, str], ...] = ()
    host: str = ""
    connection_id: str = ""
    tls: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRefusal:
    """Why a mail is refused before any server sees it."""

    code: int
    text: str


class Transaction:
    """One mail on its way over one connection; mutable, lives from MAIL FROM to its `outcome`."""

    __slots__ = (
        "begun", "body", "dotted", "index", "keeps_dialogue", "key", "mail", "outcome", "rcpt",
        "refused_at", "replies",
    )  # fmt: skip

    def __init__(
        self, index: int, envelope: Envelope, commands: tuple[bytes, bytes], body: bytes
    ) -> None:
        self.index = index
        self.key = envelope.key
        self.keeps_dialogue = envelope.keeps_dialogue
        self.mail, self.rcpt = commands
        self.body = body
        self.begun = 0.0
        self.dotted = 0.0
        self.refused_at: Stage | None = None
        self.outcome: Reply = (0, b"")
        self.replies: list[tuple[float, Reply]] = []


def prepare(index: int, envelope: Envelope, offered: Capabilities) -> Transaction | LocalRefusal:
    """Return the mail as it goes over the wire, or why it never will.

    The body is rendered before MAIL FROM: once the server has said 354 there is no way back that
    does not deliver something.
    """
    is_international = _is_international(envelope)
    if not _is_sender(envelope.mail_from) or not is_writable(envelope.rcpt_to):
        return LocalRefusal(code=553, text="5.1.3 the envelope address cannot be written in SMTP")
    if is_international and not offered.smtputf8:
        return LocalRefusal(code=553, text="5.6.7 the server does not take non-ASCII addresses")
    try:
        data = envelope.render()
    except Exception as error:  # noqa: BLE001 - one mail's fault must not hide its neighbours' fate
        return LocalRefusal(code=554, text=f"5.6.0 the mail cannot be rendered: {error}")
    is_eight_bit = is_international or not data.isascii()
    if is_eight_bit or offered.size:
        refusal = _refusal(len(data), offered, is_eight_bit=is_eight_bit)
        if refusal is not None:
            return refusal
    body = wire_form(data)
    if body is None:
        return LocalRefusal(code=554, text="5.6.0 the mail has bare CR or LF, NUL or long lines")
    options = b" SIZE=%d" % len(data) if offered.size else b""
    if is_eight_bit:
        options += b" BODY=8BITMIME SMTPUTF8" if is_international else b" BODY=8BITMIME"
    return Transaction(index, envelope, _commands(envelope, options, offered), body)


def is_writable(address: bytes) -> bool:
    """Return whether an address can stand between angle brackets without ending the command."""
    return _ADDRESS.fullmatch(address) is not None


@functools.lru_cache(maxsize=256)
def _is_sender(address: bytes) -> bool:
    """Return whether MAIL FROM can say it, the null return path included; few senders, many mails."""
    return not address or is_writable(address)


def _is_international(envelope: Envelope) -> bool:
    return envelope.smtputf8 or not (envelope.mail_from.isascii() and envelope.rcpt_to.isascii())


def _refusal(size: int, offered: Capabilities, *, is_eight_bit: bool) -> LocalRefusal | None:
    """Return why a server that offers this must not be given the mail, if it must not."""
    if 0 < offered.size < size:
        return LocalRefusal(code=552, text=f"5.3.4 the server takes {offered.size} bytes at most")
    if is_eight_bit and not offered.eight_bit:
        return LocalRefusal(code=554, text="5.6.3 the server does not take 8-bit mail")
    return None


def _commands(envelope: Envelope, options: bytes, offered: Capabilities) -> tuple[bytes, bytes]:
    notices = b""
    if not options and not envelope.envid:
        return b"MAIL FROM:<%b>\r\n" % envelope.mail_from, b"RCPT TO:<%b>\r\n" % envelope.rcpt_to
    if envelope.envid and offered.dsn:
        options += b" RET=HDRS ENVID=" + _xtext(envelope.envid)
        notices = b" NOTIFY=FAILURE,DELAY"
        if envelope.rcpt_to.isascii():
            notices += b" ORCPT=rfc822;" + _xtext(envelope.rcpt_to)
    return (
        b"MAIL FROM:<%b>%b\r\n" % (envelope.mail_from, options),
        b"RCPT TO:<%b>%b\r\n" % (envelope.rcpt_to, notices),
    )


def _xtext(value: bytes) -> bytes:
    """Encode as xtext (RFC 3461, 4): `+`, `=` and what is not printable ASCII as `+XX`."""
    return _XTEXT.sub(lambda match: b"+%02X" % match[0][0], value)
