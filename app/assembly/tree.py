"""The template language as a tree: what remains of a template once everything else was refused.

Jinja2's parser reads the source and `grammar` copies what is allowed into these facts. Jinja2 never
runs a template: `personalise` turns the tree into functions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

# Names the system fills in itself.
UNSUBSCRIBE = "unsubscribeUrl"
TOKEN = "_token"  # noqa: S105 - a name in a template, no secret


class Comparison(StrEnum):
    """What may stand between two values of a test; named as Jinja2 names them."""

    EQUAL = "eq"
    UNEQUAL = "ne"
    LESS = "lt"
    AT_MOST = "lteq"
    MORE = "gt"
    AT_LEAST = "gteq"
    IN = "in"
    NOT_IN = "notin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A value written in the template."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A variable, and the keys that lead into it: `user.address.city`, `items[0]`."""

    path: tuple[str | int, ...]

    @property
    def label(self) -> str:
        """The name a person reads."""
        return ".".join(str(key) for key in self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """A value passed through one listed filter."""

    value: "Expression"
    filter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """A value, or another one when it is missing, null or empty."""

    value: "Expression"
    otherwise: "Expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One comparison of two values."""

    left: "Expression"
    comparison: Comparison
    right: "Expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """The opposite of a test."""

    value: "Expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """`and`."""

    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """`or`."""

    left: "Expression"
    right: "Expression"


Expression = Constant | Lookup | Filtered | Default | Compared | Not | Both | Either


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What is printed as it stands."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """A value that is printed, escaped in HTML."""

    value: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class If:
    """Tests in order with their bodies, and the body when none is true."""

    branches: tuple[tuple[Expression, "Body"], ...]
    otherwise: "Body"


@dataclass(frozen=True, slots=True, kw_only=True)
class For:
    """A body for each item of a given list, and the body when it is empty."""

    name: str
    items: Lookup
    body: "Body"
    otherwise: "Body"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A destination that holds variables: written, checked and signed per mail."""

    number: int
    destination: "Body"


Node = Text | Show | If | For | Link
Body = tuple[Node, ...]


def lookups(body: Body) -> Iterator[Lookup]:
    """Yield every variable a body reads, loop variables left out."""
    for node in body:
        match node:
            case Text():
                pass
            case Show():
                yield from _inside(node.value)
            case If():
                for test, inner in node.branches:
                    yield from _inside(test)
                    yield from lookups(inner)
                yield from lookups(node.otherwise)
            case For():
                own = {node.name, "loop"}
                yield node.items
                yield from (found for found in lookups(node.body) if found.path[0] not in own)
                yield from lookups(node.otherwise)
            case Link():
                yield from lookups(node.destination)


def _inside(expression: Expression) -> Iterator[Lookup]:
    match expression:
        case Constant():
            pass
        case Lookup():
            yield expression
        case Filtered() | Not():
            yield from _inside(expression.value)
        case Default():
            yield from _inside(expression.value)
            yield from _inside(expression.otherwise)
        case Compared() | Both() | Either():
            yield from _inside(expression.left)
            yield from _inside(expression.right)
