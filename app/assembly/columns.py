"""What varies from mail to mail: each column fills its slots with encoded text."""

import html
from dataclasses import dataclass
from itertools import groupby

from app.assembly import tree
from app.assembly.expressions import Evaluate, Scope, as_text, evaluator, label
from app.assembly.personalise import Medium, Page, Write, writer
from app.mail import mime

# The slots every version has; the rest are columns.
TO, MAIL_ID, MAIL_TOKEN, UNSUBSCRIBE_TOKEN, SUBJECT, UNSUBSCRIBE_MAILTO, REPLY_TO = range(7)
_FIRST_COLUMN = 7

Layout = list[str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A printed expression; its slot in the text and in the HTML part, None where it is absent."""

    value_of: Evaluate
    label: str
    text: int | None
    html: int | None

    def fill(self, scope: Scope, slots: list[str], missing: list[str]) -> None:
        """Encode the value for the parts that print it; note its name when it has none."""
        value = self.value_of(scope)
        text = value if value.__class__ is str else as_text(value)
        if text is None:
            missing.append(self.label)
            return
        encoded = mime.slot_value(text)
        if self.text is not None:
            slots[self.text] = encoded
        if self.html is not None:
            escaped = html.escape(text)
            slots[self.html] = encoded if escaped == text else mime.slot_value(escaped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """An `if`, a `for` or a link: written per mail and encoded into one slot."""

    write: Write
    slot: int

    def fill(self, scope: Scope, slots: list[str], missing: list[str]) -> None:
        """Write the passage and encode it whole."""
        page = Page(missing)
        self.write(scope, page)
        slots[self.slot] = mime.slot_value(page.text)


class Columns:
    """The slots of a version while it is compiled; the same value has one column for both parts."""

    def __init__(self) -> None:
        self.count = _FIRST_COLUMN
        self.links: tuple[tuple[int, str], ...] = ()
        # Keyed by repr, because as keys the constants 1 and True are one.
        self._values: dict[str, tuple[tree.Expression, dict[str, int]]] = {}
        self._passages: list[Passage] = []

    @property
    def finished(self) -> tuple[Value | Passage, ...]:
        """The columns of the version, in the order of their first slots."""
        values = [
            Value(
                value_of=evaluator(expression),
                label=label(expression),
                text=slots.get("text"),
                html=slots.get("html"),
            )
            for expression, slots in self._values.values()
        ]
        return (*values, *self._passages)

    def part(self, body: tree.Body, part: str, medium: Medium, unsubscribe: str) -> Layout:
        """Return one part as encoded text and slots, a soft break between any two."""
        pieces = [piece for node in body for piece in self._pieces(node, part, medium, unsubscribe)]
        encoded: Layout = []
        for is_text, run in groupby(pieces, key=lambda piece: isinstance(piece, str)):
            if is_text:
                encoded += [mime.SOFT_BREAK, mime.quoted_printable("".join(map(str, run)))]
            else:
                encoded += [one for slot in run for one in (mime.SOFT_BREAK, slot)]
        return encoded[1:]

    def _pieces(self, node: tree.Node, part: str, medium: Medium, unsubscribe: str) -> Layout:
        match node:
            case tree.Text():
                return [node.text]
            case tree.Show(value=tree.Lookup(path=(tree.TOKEN,))):
                return [MAIL_TOKEN]
            case tree.Show(value=tree.Lookup(path=(tree.UNSUBSCRIBE,))):
                return [medium.escape(unsubscribe), UNSUBSCRIBE_TOKEN]
            case tree.Show():
                _, slots = self._values.setdefault(repr(node.value), (node.value, {}))
                if part not in slots:
                    slots[part] = self._next()
                return [slots[part]]
            case tree.If() | tree.For() | tree.Link():
                slot = self._next()
                self._passages.append(Passage(write=writer((node,), medium), slot=slot))
                return [slot]

    def _next(self) -> int:
        self.count += 1
        return self.count - 1
