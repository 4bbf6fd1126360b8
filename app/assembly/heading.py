"""Who sends a message and what its header says, written once per message. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.assembly.columns import (
    MAIL_ID,
    REPLY_TO,
    SUBJECT,
    TO,
    UNSUBSCRIBE_MAILTO,
    UNSUBSCRIBE_TOKEN,
    Layout,
)
from app.errors import InputInvalid
from app.mail import address, headers

_BASE = re.compile(r"https?://[A-Za-z0-9._~:/\[\]-]{1,500}")
_FEEDBACK = re.compile(r"[!-~]{1,255}")

# A name, which may be absent, and a normalised address.
Mailbox = tuple[str | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who sends a message and how it is tracked. `link_token` signs (destination, link number).

    `to` and `cc` are what every recipient sees; an empty `to` is the mail's own recipient. An empty
    `reply_to` leaves Reply-To to each mail. `echo` is a header line for the mail's id (app/mail/echo).
    """

    from_address: str
    from_name: str | None
    tracking_url: str
    message_id_domain: str
    track_opens: bool
    track_clicks: bool
    unsubscribe: bool
    link_token: Callable[[str, int], str]
    reply_to: tuple[str, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    feedback_id: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    echo: str = ""

    @property
    def base(self) -> str:
        """The start of tracking links, ready for attributes and headers; raises InputInvalid."""
        if _BASE.fullmatch(self.tracking_url) is None:
            raise _unusable("tracking_url", self.tracking_url, "It is no plain http(s) URL.")
        return self.tracking_url.rstrip("/")

    @property
    def is_international(self) -> bool:
        """Whether the header needs a server that takes addresses in UTF-8 (RFC 6531)."""
        seen = (*self.reply_to, *(mailbox for _, mailbox in (*self.to, *self.cc)))
        return any(map(address.smtputf8_needed, (self.from_address, *seen)))


def header_layout(identity: Identity) -> Layout:
    """Return the header lines up to the MIME headers; Date comes before them. Raises InputInvalid."""
    sender = headers.mailbox(identity.from_name, _mailbox_of(identity.from_address, "from_address"))
    layout: Layout = [f"From: {sender}\r\nTo: ", *_recipients(identity), "\r\n"]
    if identity.reply_to:
        replies = ",\r\n ".join(_mailbox_of(one, "reply_to") for one in identity.reply_to)
        layout.append(f"Reply-To: {replies}\r\n")
    else:
        layout.append(REPLY_TO)
    domain = _mailbox_of(f"x@{identity.message_id_domain}", "message_id_domain")[2:]
    layout += ["Message-ID: <", MAIL_ID, f"@{domain}>\r\nSubject: ", SUBJECT, "\r\n"]
    if identity.unsubscribe:
        layout += ["List-Unsubscribe: ", UNSUBSCRIBE_MAILTO, f"<{identity.base}/u/"]
        layout += [UNSUBSCRIBE_TOKEN, ">\r\n"]
        layout.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    if identity.feedback_id:
        if _FEEDBACK.fullmatch(identity.feedback_id) is None:
            raise _unusable("feedback_id", identity.feedback_id, "It is no short plain text.")
        layout.append(f"Feedback-ID: {identity.feedback_id}\r\n")
    layout += [
        f"{name}: {headers.check_header(name, value)}\r\n" for name, value in identity.headers
    ]
    return layout + _echo(identity)


def _echo(identity: Identity) -> Layout:
    """Return the line that has the provider echo the mail's id, unless the message has its own."""
    name = identity.echo.partition(":")[0].lower()
    if not name or any(name == given.lower() for given, _ in identity.headers):
        return []
    before, _, after = identity.echo.partition("*")
    return [before, MAIL_ID, f"{after}\r\n"]


def _recipients(identity: Identity) -> Layout:
    """Return the value of To, and Cc where there is one."""
    seen: Layout = [_people(identity.to, "to")] if identity.to else [TO]
    return [*seen, f"\r\nCc: {_people(identity.cc, 'cc')}"] if identity.cc else seen


def _people(people: tuple[Mailbox, ...], field: str) -> str:
    return headers.mailboxes((name, _mailbox_of(mailbox, field)) for name, mailbox in people)


def _mailbox_of(mailbox: str, field: str) -> str:
    if not address.is_safe(mailbox):
        raise _unusable(field, mailbox, "It is no normalised address.")
    return mailbox


def _unusable(field: str, value: str, why: str) -> InputInvalid:
    return InputInvalid(
        f"{value[:80]!r} cannot be written into a mail.",
        why=why,
        fix="Correct the sender account.",
        field=field,
    )
