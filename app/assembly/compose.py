"""A template version compiled once: encoded segments with slots (DESIGN section 5). Pure.

assemble: `slots(recipient)` -> short encoded strings, or MissingVariables
send:     `join(slots, date)` -> the bytes for DATA

Headers, static text, links and MIME structure are encoded here, once. What varies is a column: a
variable, a link with variables, or a whole `if` or `for`, encoded per mail between two soft breaks.
"""

import html as markup
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

from app.assembly import tree
from app.assembly.columns import (
    MAIL_ID,
    MAIL_TOKEN,
    REPLY_TO,
    SUBJECT,
    TO,
    UNSUBSCRIBE_MAILTO,
    UNSUBSCRIBE_TOKEN,
    Columns,
    Layout,
    Passage,
    Value,
)
from app.assembly.draft import MAX_SUBJECT, Draft
from app.assembly.expressions import Scope
from app.assembly.heading import Identity, header_layout
from app.assembly.links import Rewriting, rewritten
from app.assembly.personalise import MAX_OUTPUT, PLAIN, Medium, Page, Write, too_large, writer
from app.errors import MessageMalformed, MissingVariables, Unrenderable
from app.mail import address, headers, mime
from app.mail.attachments import AttachedFile
from app.smtp.wire import LONGEST_LINE, WireForm, wire_form
from tracking.rewriting import destination

_MARK = 0x100  # what stands for slot n while lines are measured: character _MARK + n, never ASCII
_MARKS = re.compile(r"[^\x00-\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One mail's own facts. `unsubscribe_token` may be empty when nothing unsubscribes.

    `unsubscribe_mailto` and `reply_to` are coded addresses (app/mail/verp); empty: none.
    """

    to: str
    to_name: str | None
    email_id: UUID
    mail_token: str
    unsubscribe_token: str
    variables: Mapping[str, object]
    unsubscribe_mailto: str = ""
    reply_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A version's text and HTML with their slots, for any header: made once per way of tracking."""

    text: Layout
    html: Layout | None
    subject: Write
    columns: tuple[Value | Passage, ...]
    slots: int
    links: tuple[tuple[int, str], ...]
    variables: tuple[str, ...]
    seed: str


class Compiled:
    """A version ready to write mails: immutable, shared by threads.

    `links` are (number, destination) of the rewritten links; a destination with variables is given
    as its source. `variables` are the names the version reads. `tail` follows the joined mail:
    bytes, and files by their number; it is empty when no file is attached. `unsubscribes`: it has a
    List-Unsubscribe.
    """

    __slots__ = ("_columns", "_pick", "_roomy", "_segments", "_size", "_spare", "_subject",
                 "_unsubscribe", "is_international", "links", "tail", "unsubscribes", "variables")  # fmt: skip

    def __init__(self, body: Body, identity: Identity, files: Sequence[AttachedFile]) -> None:
        parts = mime.body(body.text, body.html, files, body.seed)
        layout = [*header_layout(identity), *parts.layout, *([] if files else parts.tail)]
        self.tail = tuple(_encoded(piece) for piece in parts.tail) if files else ()
        self._segments, used = _alternating(layout)
        self._spare = _spare(layout)
        self._pick = itemgetter(*used)
        self._size = body.slots
        # Slots of this many characters together cannot exceed the largest output.
        self._roomy = MAX_OUTPUT // max(used.count(slot) for slot in used)
        self._columns = body.columns
        self._subject = body.subject
        self._unsubscribe = identity.tracking_url.rstrip("/") + "/u/"
        self.unsubscribes = UNSUBSCRIBE_TOKEN in used
        self.is_international = identity.is_international
        self.links = body.links
        self.variables = body.variables

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
        missing = [tree.UNSUBSCRIBE] if self.unsubscribes and not token else []
        slots = [""] * self._size
        slots[TO] = _mailbox(recipient)
        slots[MAIL_ID] = recipient.email_id.hex
        slots[MAIL_TOKEN] = recipient.mail_token
        slots[UNSUBSCRIBE_TOKEN] = token
        if recipient.unsubscribe_mailto:
            slots[UNSUBSCRIBE_MAILTO] = f"<mailto:{recipient.unsubscribe_mailto}>, "
        if recipient.reply_to:
            slots[REPLY_TO] = f"Reply-To: {recipient.reply_to}\r\n"
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
        data = f"Date: {date}\r\n{''.join(out)}".encode()
        return WireForm(data) if self._keeps_lines(slots) else data

    def whole(self, slots: Sequence[str], date: str, files: Sequence[bytes]) -> bytes:
        """Return the message with its files: `files[n]` is the encoded body of the n-th."""
        tail = (files[piece] if isinstance(piece, int) else piece for piece in self.tail)
        return b"".join((self.join(slots, date), *tail))

    def _keeps_lines(self, slots: Sequence[str]) -> bool:
        """Tell whether slots cannot make lines, nor longer ones than may be sent: as most cannot.

        Then what was proved of the segments holds for the mail; folded headers start with a space.
        """
        said = " ".join(slots)
        if len(said) > self._spare or said.startswith(".") or " ." in said:
            return False
        return said.isascii() and said.replace("\r\n ", "").isprintable()

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


def _spare(layout: Layout) -> int:
    """Return how many characters the slots may have together and never make a line too long.

    -1 when the segments prove nothing: they are no whole mail, or not ASCII.
    """
    if not all(one.isascii() for one in layout if isinstance(one, str)):
        return -1
    text = "".join(one if isinstance(one, str) else chr(_MARK + one) for one in layout)
    for filling in ("", "x"):
        skeleton = _MARKS.sub(filling, text).encode()
        if wire_form(skeleton) != skeleton:
            return -1
    return min(_room(line) for line in text.split("\r\n"))


def _room(line: str) -> int:
    slots = _MARKS.findall(line)
    most = max(Counter(slots).values(), default=1)
    return (LONGEST_LINE - len(line) + len(slots)) // most


def compile_version(
    draft: Draft, identity: Identity, files: Sequence[AttachedFile] = ()
) -> Compiled:
    """Return a version ready to write mails; raises InputInvalid when the identity cannot be written.

    Takes milliseconds, signs each fixed link once. The result depends on nothing but its arguments.
    """
    return Compiled(compile_body(draft, identity), identity, files)


def compile_body(draft: Draft, identity: Identity) -> Body:
    """Return what the bodies of a version's mails share; nearly all of the time goes here.

    Of the identity it depends on what tracks: the URL, the switches and `link_token`.
    """
    columns = Columns()
    base = identity.base
    text = columns.part(draft.text, "text", PLAIN, f"{base}/u/")
    html = None
    if draft.html is not None:
        rewriting = Rewriting(base=base, link_token=identity.link_token)
        tracked = rewritten(
            draft.html,
            rewriting,
            track_clicks=identity.track_clicks,
            track_opens=identity.track_opens,
        )
        columns.links = tuple(rewriting.links)
        html = columns.part(tracked, "html", _html_medium(base, identity), f"{base}/u/")
    return Body(
        text=text,
        html=html,
        subject=writer(draft.subject, PLAIN),
        columns=columns.finished,
        slots=columns.count,
        links=columns.links,
        variables=draft.variables,
        seed=f"{draft.subject!r}\0{draft.html}",
    )


def _encoded(piece: str | int) -> bytes | int:
    return piece.encode() if isinstance(piece, str) else piece


def _html_medium(base: str, identity: Identity) -> Medium:
    def href(url: str, number: int, scope: Scope) -> str:
        target = destination(url)
        if target is None:
            return markup.escape(url)
        return f"{base}/c/{scope[tree.TOKEN]}/{identity.link_token(target, number)}"

    return Medium(escape=markup.escape, href=href)
