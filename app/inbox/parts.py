"""A kept mail taken apart for people: headers, text, HTML, attachments, links."""

import email.policy
import html
import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser

_HREF = re.compile(r"""href\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s<>\"']+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`html` and `text` are empty where the mail has none; `links` are those of both, once each."""

    headers: list[tuple[str, str]]
    text: str
    html: str
    attachments: list[str]
    links: list[str]


def parts_of(data: bytes) -> Parts:
    """Take a mail apart; a broken one gives what can be read of it."""
    message = BytesParser(policy=email.policy.default).parsebytes(data)
    plain, rich = _body(message, "plain"), _body(message, "html")
    found = [html.unescape(quoted or single) for quoted, single in _HREF.findall(rich)]
    found += _URL.findall(plain)
    links = dict.fromkeys(link for link in found if link.startswith(("http://", "https://")))
    return Parts(
        headers=[(name, str(value)) for name, value in message.items()],
        text=plain,
        html=rich,
        attachments=[part.get_filename() or part.get_content_type() for part in _attached(message)],
        links=list(links),
    )


def _body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    if part is None:
        return ""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    try:
        return payload.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # a charset nobody knows
        return payload.decode("utf-8", "replace")


def _attached(message: EmailMessage) -> list[EmailMessage]:
    return [part for part in message.iter_attachments() if isinstance(part, EmailMessage)]
