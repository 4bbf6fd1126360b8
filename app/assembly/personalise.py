"""A template tree and one mail's variables become text: the tree is turned into functions, once.

A name that has no value and no default is noted where it is printed, all names of a mail at once.
What one mail may cost is bounded, whatever its template and variables are.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.assembly import tree
from app.assembly.expressions import Scope, as_text, evaluator, label
from app.errors import Unrenderable

MAX_ITEMS = 1_000
MAX_STEPS = 20_000
MAX_OUTPUT = 1_048_576


class Page:
    """What one part of one mail has become so far, and what it may still cost."""

    __slots__ = ("_left", "_steps", "missing", "pieces")

    def __init__(self, missing: list[str]) -> None:
        self.pieces: list[str] = []
        self.missing = missing
        self._left = MAX_OUTPUT
        self._steps = MAX_STEPS

    def write(self, text: str) -> None:
        """Print text; raises Unrenderable past the largest output."""
        self.pieces.append(text)
        self._left -= len(text)
        if self._left < 0:
            raise too_large()

    def spend(self, steps: int) -> None:
        """Count work; raises Unrenderable past the largest number of steps."""
        self._steps -= steps
        if self._steps < 0:
            raise too_large()

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(self.pieces)


Write = Callable[[Scope, Page], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """How a part prints: `escape` for values, `href` for (destination, link number, scope)."""

    escape: Callable[[str], str]
    href: Callable[[str, int, Scope], str]


PLAIN = Medium(escape=str, href=lambda url, _number, _scope: url)


def too_large() -> Unrenderable:
    """Return the refusal of a mail that would become too large or take too long to write."""
    return Unrenderable(
        "The mail becomes too large.",
        why=f"One mail may print {MAX_OUTPUT:,} characters and run {MAX_STEPS:,} steps.",
        fix="Give shorter lists and texts.",
    )


def writer(body: tree.Body, medium: Medium) -> Write:
    """Return a function that writes a body for one mail."""
    steps = tuple(_write_node(node, medium) for node in body)
    cost = 1 + len(steps)

    def write(scope: Scope, page: Page) -> None:
        page.spend(cost)
        for step in steps:
            step(scope, page)

    return write


def _write_node(node: tree.Node, medium: Medium) -> Write:
    match node:
        case tree.Text():
            return _write_text(node.text)
        case tree.Show():
            return _write_value(node.value, medium.escape)
        case tree.If():
            return _write_if(node, medium)
        case tree.For():
            return _write_for(node, medium)
        case tree.Link():
            return _write_link(node, medium)


def _write_text(text: str) -> Write:
    def write(_scope: Scope, page: Page) -> None:
        page.write(text)

    return write


def _write_value(expression: tree.Expression, escape: Callable[[str], str]) -> Write:
    value_of = evaluator(expression)
    name = label(expression)

    def write(scope: Scope, page: Page) -> None:
        text = as_text(value_of(scope))
        if text is None:
            page.missing.append(name)
        else:
            page.write(escape(text))

    return write


def _write_link(node: tree.Link, medium: Medium) -> Write:
    destination = writer(node.destination, PLAIN)

    def write(scope: Scope, page: Page) -> None:
        inner = Page(page.missing)
        destination(scope, inner)
        page.write(medium.href(inner.text, node.number, scope))

    return write


def _write_if(node: tree.If, medium: Medium) -> Write:
    branches = tuple((evaluator(test), writer(body, medium)) for test, body in node.branches)
    otherwise = writer(node.otherwise, medium)

    def write(scope: Scope, page: Page) -> None:
        for test, body in branches:
            if test(scope):
                body(scope, page)
                return
        otherwise(scope, page)

    return write


def _write_for(node: tree.For, medium: Medium) -> Write:
    items_of = evaluator(node.items)
    body = writer(node.body, medium)
    otherwise = writer(node.otherwise, medium)

    def write(scope: Scope, page: Page) -> None:
        items = items_of(scope)
        if not isinstance(items, list | tuple):
            page.missing.append(node.items.label)
            return
        if len(items) > MAX_ITEMS:
            raise too_large()
        inner = scope.copy()
        for index, item in enumerate(items, 1):
            inner[node.name] = item
            inner["loop"] = {"index": index, "first": index == 1, "last": index == len(items)}
            body(inner, page)
        if not items:
            otherwise(scope, page)

    return write
