"""A mail that came back, laid out for reading: its own words, and the mail it returns."""

from dataclasses import dataclass

from app.mail import notice
from app.mail.message import Headers, Message, Part, read_headers, read_message
from app.mail.recipient import addresses_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The parts of a mail: `own` and `inner` (of mails inside), the headers of what it `returned`.

    `text` is what it says to people, without the mail it may return in the same text.
    """

    raw: bytes
    message: Message
    headers: Headers
    own: list[Part]
    inner: list[Part]
    returned: list[Headers]
    text: str

    @property
    def sender(self) -> str:
        """Return the address the mail came from; empty for none."""
        return sender_of(self.headers)

    @property
    def senders(self) -> set[str]:
        """Return the addresses that sent the failed mail or its notice, in lower case."""
        names = ("from", "return-path", "sender")
        found = [value for head in self.returned for name in names for value in head.all(name)]
        return recipients_of(self.headers) | {
            address.lower() for value in found for address in addresses_in(value)
        }


def lay_out(raw: bytes) -> Layout:
    """Take a mail apart and lay it out; never fails."""
    message = read_message(raw)
    own = [part for part in message.parts if part.level == 0]
    inner = [part for part in message.parts if part.level > 0]
    text, rest = notice.notice_text(own)
    returned = [part.headers for part in inner if part.level == 1 and part.kind == "message/rfc822"]
    returned += [read_headers(part.text) for part in own if part.kind.endswith("rfc822-headers")]
    returned += [_headers_within(rest)] if rest else []
    return Layout(
        raw=raw,
        message=message,
        headers=message.headers,
        own=own,
        inner=inner,
        returned=returned,
        text=text,
    )


def _headers_within(text: str) -> Headers:
    """Return the header fields of a mail that follows in the notice itself, below some line."""
    lines = [line.lstrip(" >|\t") if line[:1] in ">|" else line for line in text.split("\n")]
    for index, line in enumerate(lines[:12]):
        found = read_headers("\n".join(lines[index:])) if ":" in line[1:] else Headers()
        if line[:1].strip() and len(found.fields) > 1:
            return found
    return Headers()


def sender_of(headers: Headers) -> str:
    """Return the address in From, or in Sender; empty for none."""
    return next(iter(addresses_in(headers.first("from") or headers.first("sender"))), "")


def recipients_of(headers: Headers) -> set[str]:
    """Return the addresses a notice came to and from, in lower case."""
    names = ("to", "delivered-to", "x-original-to", "from", "sender")
    return {one.lower() for name in names for one in addresses_in(headers.first(name))}
