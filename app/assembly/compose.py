"""A template version compiled once: encoded segments with slots (DESIGN section 5). Pure.

assemble: `slots(recipient)` -> short encoded strings, or MissingVariables
send:     `join(slots, date)` -> the bytes for DATA

Headers, static text, links and MIME structure are encoded here, once. What varies is a column: a
variable, a link with variables, or a whole `if` or `for`, encoded per mail between two soft breaks.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from urllib.parse import quote
from uuid import UUID

from app.assembly import tree
from app.assembly.columns import (
    MAIL_ID,
    MAIL_TOKEN,
    SUBJECT,
    TO,
    UNSUBSCRIBE_TOKEN,
    Columns,
    Layout,
)
from app.assembly.draft import MAX_SUBJECT, Draft
from app.assembly.expressions import Scope
from app.assembly.links import Rewriting, rewritten
from app.assembly.personalise import MAX_OUTPUT, PLAIN, Medium, Page, too_large, writer
from app.errors import InputInvalid, MessageMalformed, MissingVariables, Unrenderable
from app.mail import address, headers, mime
from tracking.rewriting import destination

_BASE = re.compile(r"https?://[A-Za-z0-9._~:/\[\]-]{1,500}")
_FEEDBACK = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who sends a version and how it is tracked. `link_token` signs (destination, link number)."""

    from_address: str
    from_name: str | None
    reply_to: str | None
    tracking_url: str
    message_id_domain: str
    track_opens: bool
    track_clicks: bool
    unsubscribe: bool
    link_token: Callable[[str, int], str]
    unsubscribe_mailto: str | None = None
    feedback_id: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One mail's own facts. `unsubscribe_token` may be empty when nothing unsubscribes."""

    to: str
    to_name: str | None
    email_id: UUID
    mail_token: str
    unsubscribe_token: str
    variables: Mapping[str, object]


class Compiled:
    """A version ready to write mails: immutable, shared by threads.

    `links` are (number, destination) of the rewritten links; a destination with variables is given
    as its source. `variables` are the names the version reads.
    """

    __slots__ = ("_columns", "_pick", "_roomy", "_segments", "_size", "_subject", "_unsubscribe",
                 "_unsubscribes", "links", "variables")  # fmt: skip

    def __init__(self, layout: Layout, columns: Columns, draft: Draft, identity: Identity) -> None:
        self._segments, used = _alternating(layout)
        self._pick = itemgetter(*used)
        self._size = columns.count
        # Slots of this many characters together cannot exceed the largest output.
        self._roomy = MAX_OUTPUT // max(used.count(slot) for slot in used)
        self._columns = columns.finished
        self._subject = writer(draft.subject, PLAIN)
        self._unsubscribe = identity.tracking_url.rstrip("/") + "/u/"
        self._unsubscribes = UNSUBSCRIBE_TOKEN in used
        self.links = columns.links
        self.variables = draft.variables

    def slots(self, recipient: Recipient) -> list[str]:
        """Return the encoded slots of one mail, ASCII but for an SMTPUTF8 address in the first.

        Raises MissingVariables with every missing name, Unrenderable when the address cannot be
        written or the mail becomes too large.
        """
        token = recipient.unsubscribe_token
        scope: Scope = {
            **recipient.variables,
            tree.TOKEN: recipient.mail_token,
            tree.UNSUBSCRIBE: self._unsubscribe + token if token else None,
        }
        missing = [tree.UNSUBSCRIBE] if self._unsubscribes and not token else []
        slots = [""] * self._size
        slots[TO] = _mailbox(recipient)
        slots[MAIL_ID] = recipient.email_id.hex
        slots[MAIL_TOKEN] = recipient.mail_token
        slots[UNSUBSCRIBE_TOKEN] = token
        slots[SUBJECT] = self._subject_line(scope, missing)
        for column in self._columns:
            column.fill(scope, slots, missing)
        if missing:
            raise MissingVariables(tuple(dict.fromkeys(missing)))
        self._check_size(slots)
        return slots

    def join(self, slots: Sequence[str], date: str) -> bytes:
        """Return the message: canonical CR LF, no line over 998, none that starts with a dot.

        `date` is the value of Date (`app.mail.headers.date_value`), the same over retries. Raises
        MessageMalformed when the slots are not this version's.
        """
        if len(slots) != self._size:
            raise MessageMalformed(
                f"The mail has {len(slots)} slots, its template version {self._size}.",
                why="It was assembled with another version of the template or of this program.",
                fix="Discard the message; the mail is assembled again.",
                field="slots",
            )
        out = self._segments.copy()
        out[1::2] = self._pick(slots)
        return f"Date: {date}\r\n{''.join(out)}".encode()

    def _subject_line(self, scope: Scope, missing: list[str]) -> str:
        page = Page(missing)
        self._subject(scope, page)
        if len(page.text) > MAX_SUBJECT:
            raise too_large()
        return headers.unstructured(page.text)

    def _check_size(self, slots: list[str]) -> None:
        if sum(map(len, slots)) > self._roomy and sum(map(len, self._pick(slots))) > MAX_OUTPUT:
            raise too_large()


def _mailbox(recipient: Recipient) -> str:
    if not address.is_safe(recipient.to):
        raise Unrenderable(
            "The address of the recipient cannot be written into a header.",
            why="It is no normalised address.",
            field="to",
        )
    return headers.mailbox(recipient.to_name, recipient.to)


def _alternating(layout: Layout) -> tuple[list[str], list[int]]:
    """Return segments with an empty place between any two for a slot, and the slots in order."""
    segments: list[str] = []
    used: list[int] = []
    for piece in layout:
        if isinstance(piece, int):
            if len(segments) % 2 == 0:
                segments.append("")
            segments.append("")
            used.append(piece)
        elif len(segments) % 2:
            segments[-1] += piece
        else:
            segments.append(piece)
    return segments, used


def compile_version(draft: Draft, identity: Identity) -> Compiled:
    """Return a version ready to write mails; raises InputInvalid when the identity cannot be written.

    Takes milliseconds, signs each fixed link once. The result depends on nothing but its arguments.
    """
    columns = Columns()
    base = _base(identity)
    text = columns.part(draft.text, "text", PLAIN, f"{base}/u/")
    if draft.html is None:
        body = mime.single(text)
    else:
        rewriting = Rewriting(base=base, link_token=identity.link_token)
        tracked = rewritten(
            draft.html,
            rewriting,
            track_clicks=identity.track_clicks,
            track_opens=identity.track_opens,
        )
        columns.links = tuple(rewriting.links)
        markup = columns.part(tracked, "html", _html_medium(base, identity), f"{base}/u/")
        body = mime.alternative(text, markup, mime.boundary(repr(draft.subject), draft.html))
    return Compiled([*_header_layout(identity, base), *body], columns, draft, identity)


def _html_medium(base: str, identity: Identity) -> Medium:
    def href(url: str, number: int, scope: Scope) -> str:
        target = destination(url)
        if target is None:
            return html.escape(url)
        return f"{base}/c/{scope[tree.TOKEN]}/{identity.link_token(target, number)}"

    return Medium(escape=html.escape, href=href)


def _header_layout(identity: Identity, base: str) -> Layout:
    """Return the header lines up to the MIME headers; Date comes before them."""
    sender = headers.mailbox(identity.from_name, _mailbox_of(identity.from_address, "from_address"))
    layout: Layout = [f"From: {sender}\r\nTo: ", TO, "\r\n"]
    if identity.reply_to:
        layout.append(f"Reply-To: {_mailbox_of(identity.reply_to, 'reply_to')}\r\n")
    domain = _mailbox_of(f"x@{identity.message_id_domain}", "message_id_domain")[2:]
    layout += ["Message-ID: <", MAIL_ID, f"@{domain}>\r\nSubject: ", SUBJECT, "\r\n"]
    if identity.unsubscribe:
        layout += [f"List-Unsubscribe: <{base}/u/", UNSUBSCRIBE_TOKEN, f">{_mailto(identity)}\r\n"]
        layout.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    if identity.feedback_id:
        if _FEEDBACK.fullmatch(identity.feedback_id) is None:
            raise _unusable("feedback_id", identity.feedback_id, "It is no short plain text.")
        layout.append(f"Feedback-ID: {identity.feedback_id}\r\n")
    layout += [
        f"{name}: {headers.check_header(name, value)}\r\n" for name, value in identity.headers
    ]
    return layout


def _mailto(identity: Identity) -> str:
    if not identity.unsubscribe_mailto:
        return ""
    mailbox = _mailbox_of(identity.unsubscribe_mailto, "unsubscribe_mailto")
    return f", <mailto:{quote(mailbox, safe='@+')}>"


def _base(identity: Identity) -> str:
    """Return the start of tracking links; it goes into attributes and headers as it is."""
    if _BASE.fullmatch(identity.tracking_url) is None:
        raise _unusable("tracking_url", identity.tracking_url, "It is no plain http(s) URL.")
    return identity.tracking_url.rstrip("/")


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
