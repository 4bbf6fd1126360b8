"""Expressions of a template as functions of one mail's variables.

Missing is one thing, None: a name that is absent or null. A list or mapping where text is wanted
is missing too. In a test it is false.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from app.assembly import tree

Scope = dict[str, object]
Evaluate = Callable[[Scope], object]

_WORD = re.compile(r"[^-\s(\[{<]+")


def as_text(value: object) -> str | None:
    """Return what a value prints as, or None when it counts as missing."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def label(expression: tree.Expression) -> str:
    """Return the variable to name when an expression has no value."""
    match expression:
        case tree.Lookup():
            return expression.label
        case tree.Constant():
            return "none"
        case tree.Filtered() | tree.Default() | tree.Not():
            return label(expression.value)
        case tree.Compared() | tree.Both() | tree.Either():
            return label(expression.left)


def evaluator(  # noqa: PLR0911 - one return for each kind of expression
    expression: tree.Expression,
) -> Evaluate:
    """Return a function of the scope that gives the value; None when it is missing."""
    match expression:
        case tree.Constant():
            constant = expression.value
            return lambda _scope: constant
        case tree.Lookup():
            return _look_up(expression.path)
        case tree.Filtered():
            return _filtered(evaluator(expression.value), FILTERS[expression.filter])
        case tree.Default():
            return _defaulted(evaluator(expression.value), evaluator(expression.otherwise))
        case tree.Compared():
            return _compared(expression)
        case tree.Not():
            value_of = evaluator(expression.value)
            return lambda scope: not value_of(scope)
        case tree.Both():
            left, right = evaluator(expression.left), evaluator(expression.right)
            return lambda scope: left(scope) and right(scope)
        case tree.Either():
            left, right = evaluator(expression.left), evaluator(expression.right)
            return lambda scope: left(scope) or right(scope)


def _look_up(path: tuple[str | int, ...]) -> Evaluate:
    first, rest = str(path[0]), path[1:]

    def look_up(scope: Scope) -> object:
        value = scope.get(first)
        for key in rest:
            value = _member(value, key)
        return value

    return look_up


def _member(value: object, key: str | int) -> object:
    """Return what is under a key of a mapping or list; attributes of objects are never read."""
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list | tuple) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def _filtered(value_of: Evaluate, change: Callable[[str], str]) -> Evaluate:
    def filtered(scope: Scope) -> object:
        text = as_text(value_of(scope))
        return None if text is None else change(text)

    return filtered


def _defaulted(value_of: Evaluate, otherwise: Evaluate) -> Evaluate:
    def defaulted(scope: Scope) -> object:
        value = value_of(scope)
        return otherwise(scope) if value is None or value == "" else value

    return defaulted


def _compared(expression: tree.Compared) -> Evaluate:
    left, right = evaluator(expression.left), evaluator(expression.right)
    compare = _COMPARISONS[expression.comparison]

    def compared(scope: Scope) -> bool:
        try:
            return bool(compare(left(scope), right(scope)))
        except TypeError:  # values of kinds that have no order: the test is false
            return False

    return compared


def _is_in(value: object, container: object) -> bool:
    """Tell membership; what is no text, list or mapping contains nothing."""
    if isinstance(container, str):
        return isinstance(value, str) and value in container
    return isinstance(container, Mapping | Sequence) and value in container


_COMPARISONS: dict[tree.Comparison, Callable[..., bool]] = {
    tree.Comparison.EQUAL: operator.eq,
    tree.Comparison.UNEQUAL: operator.ne,
    tree.Comparison.LESS: operator.lt,
    tree.Comparison.AT_MOST: operator.le,
    tree.Comparison.MORE: operator.gt,
    tree.Comparison.AT_LEAST: operator.ge,
    tree.Comparison.IN: _is_in,
    tree.Comparison.NOT_IN: lambda value, container: not _is_in(value, container),
}


def _title(text: str) -> str:
    """Start each word with a capital, an apostrophe starts no word: O'neil, not O'Neil."""
    return _WORD.sub(lambda word: word[0][0].upper() + word[0][1:].lower(), text)


FILTERS: dict[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "title": _title,
    "capitalize": str.capitalize,
    "trim": str.strip,
    "urlencode": lambda text: quote(text.encode("utf-8", "replace"), safe=""),
}
