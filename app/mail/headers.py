"""Header fields written by hand: RFC 5322 lines, RFC 2047 words, and what may never become a line.

The standard library turns an encoded CR LF in a subject into a real header, and folds a long
`List-Unsubscribe` into encoded words (TRUST.md, "Mail"); so nothing here goes through it. Text that
looks like an encoded word is itself encoded, so a reader shows it and never decodes it.
"""

import binascii
import datetime as dt
import email.errors
import email.header
import email.utils
import functools
import re
from collections.abc import Iterable, Mapping

from app.errors import InputInvalid

_NAME = re.compile(r"[!-9;-~]{1,76}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DENIED = frozenset(
    {
        "from", "to", "cc", "bcc", "sender", "reply-to", "return-path", "date", "message-id",
        "received", "subject", "feedback-id", "authentication-results", "delivered-to",
    }
)  # fmt: skip
_DENIED_PREFIXES = ("dkim-", "arc-", "mime-", "content-", "list-unsubscribe", "resent-")
# What an app may set besides X-...: threads, and what describes a mail without steering it.
_ALLOWED = frozenset(
    {
        "in-reply-to", "references", "importance", "priority", "sensitivity", "precedence",
        "auto-submitted", "keywords", "comments", "organization", "list-id", "list-help",
        "list-archive", "list-owner", "list-post", "list-subscribe",
    }
)  # fmt: skip
_MOST_HEADERS = 30
_MOST_CHARACTERS = 8_192
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~ -]{1,200}")
_ONE_LINE = 900  # leaves room under RFC 5322's 998 for the name
# "Subject: " and one word of 39 bytes stay within RFC 2047's 76 characters a line.
_WORD_BYTES = 39
_LONGEST_NAME = 200


def check_header(name: str, value: str) -> str:
    """Return the encoded value of a custom header; raises InputInvalid when it must not be sent.

    Refused: names outside RFC 5322 or owned by us, values with control characters, also after
    RFC 2047 decoding, and values too long for one line of 998 characters.
    """
    if not _NAME.fullmatch(name):
        raise _refused(name, "A header name is 1 to 76 printable ASCII characters without a colon.")
    lowered = name.lower()
    if lowered in _DENIED or lowered.startswith(_DENIED_PREFIXES):
        raise _refused(name, "The system writes this header itself.")
    if holds_controls(value):
        raise _refused(name, "Its value holds control characters.")
    if len(value) >= _ONE_LINE:
        raise _refused(name, f"Its value has more than {_ONE_LINE - 1} characters.")
    return unstructured(value)


def holds_controls(value: str) -> bool:
    """Return whether a value holds control characters, as it is or once RFC 2047 is decoded."""
    return bool(_CONTROL.search(value) or _CONTROL.search(_decoded(value)))


def check_custom_headers(headers: Mapping[str, object]) -> dict[str, str]:
    """Return an app's own headers as they were given; raises InputInvalid for the first refused.

    Allowed are X- names and a list that cannot redirect, forge or unsubscribe: at most 30, 8,192
    characters in all, each name once whatever its case, one line each. The field names the header.
    """
    if len(headers) > _MOST_HEADERS:
        raise _unfit("headers", f"A message has at most {_MOST_HEADERS} headers of its own.")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(value, str):
            raise _refused(name, "Its value is no text.")
        check_header(name, value)
        lowered = name.lower()
        if not lowered.startswith("x-") and lowered not in _ALLOWED:
            raise _refused(name, "Only X- names and a list of harmless ones may be set.")
        if lowered in {known.lower() for known in checked}:
            raise _refused(name, "It is given twice.")
        checked[name] = value
    if sum(len(name) + len(value) for name, value in checked.items()) > _MOST_CHARACTERS:
        raise _unfit("headers", f"They have more than {_MOST_CHARACTERS} characters.")
    return checked


def _unfit(field: str, why: str) -> InputInvalid:
    return InputInvalid("The headers are refused.", why=why, fix="Send fewer.", field=field)


def _refused(name: str, why: str) -> InputInvalid:
    return InputInvalid(
        f"Header {name[:80]!r} is refused.",
        why=why,
        fix="Use a name of your own, such as X-Order-Id, and plain text.",
        field=f"headers.{name[:80]}",
    )


def _decoded(value: str) -> str:
    """Return what a reader makes of encoded words; a broken one reads as it stands."""
    try:
        pieces = email.header.decode_header(value)
    except (email.errors.HeaderParseError, ValueError):
        return value
    return "".join(
        piece.decode("latin-1") if isinstance(piece, bytes) else piece for piece, _ in pieces
    )


def one_line(text: str) -> str:
    """Return text with control characters and the white space around them as single spaces."""
    return " ".join(_CONTROL.sub(" ", text).split()) if _CONTROL.search(text) else text


def unstructured(text: str) -> str:
    """Return an unstructured value (Subject) ready for the wire, folded by CR LF and a space."""
    line = one_line(text)
    if line.isascii() and len(line) < _ONE_LINE and "=?" not in line:
        return line
    return encoded_words(line)


def encoded_words(text: str) -> str:
    """Return RFC 2047 words, one a line, never splitting a character."""
    raw = text.encode("utf-8", "replace")
    words = []
    while raw:
        cut = _WORD_BYTES
        while cut < len(raw) and raw[cut] & 0xC0 == 0x80:
            cut -= 1
        base64 = binascii.b2a_base64(raw[:cut], newline=False).decode("ascii")
        words.append(f"=?utf-8?B?{base64}?=")
        raw = raw[cut:]
    return "\r\n ".join(words)


def mailbox(name: str | None, address: str) -> str:
    """Return `name <address>` for From, To and Reply-To; the address must be safe already."""
    if not name:
        return address
    if _PHRASE.fullmatch(name):
        return f"{name.strip()} <{address}>" if name.strip() else address
    line = one_line(name).strip()[:_LONGEST_NAME]
    if not line:
        return address
    if line.isascii() and "=?" not in line:
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" <{address}>'
    return f"{encoded_words(line)}\r\n <{address}>"


def mailboxes(people: Iterable[tuple[str | None, str]]) -> str:
    """Return (name, address) pairs as the value of To or Cc, each on a line of its own."""
    return ",\r\n ".join(mailbox(name, address) for name, address in people)


@functools.lru_cache(maxsize=256)
def date_value(moment: dt.datetime) -> str:
    """Return an aware datetime as the value of Date (RFC 5322, 3.3).

    Mails that are claimed together share it, and making one costs as much as rendering a mail.
    """
    return email.utils.format_datetime(moment)
