"""The whitelist: Jinja2's tree copied into ours, node by node; everything not listed is refused.

Tenant templates are attacker input (TRUST.md): no calls, arithmetic, assignments, macros, includes
or ranges, and nothing that could reach a Python attribute, because a lookup only ever reads the
keys of a mapping or list.
"""

import difflib
from collections.abc import Iterator, Mapping

from jinja2 import nodes

from app.assembly import tree

FILTERS = ("upper", "lower", "title", "capitalize", "trim", "urlencode")
_NO_EFFECT = ("escape", "e")  # values in HTML are escaped anyway
_DEFAULTS = ("default", "d")
MAX_NODES = 5_000
MAX_REBUILT_NODES = 20_000
MAX_DEPTH = 20
MAX_LOOPS = 2
_MAX_CONSTANT = 1_000
_MAX_NUMBER = 10**12

_INSTEAD: dict[type[nodes.Node], tuple[str, str]] = {
    nodes.Call: ("A call is not allowed.", "Print a variable; use a listed filter."),
    nodes.CallBlock: ("A call is not allowed.", "Write the text out."),
    nodes.Macro: ("A macro is not allowed.", "Write the text out."),
    nodes.Include: ("Including is not allowed.", "Copy the text into this template."),
    nodes.Import: ("Importing is not allowed.", "Copy the text into this template."),
    nodes.FromImport: ("Importing is not allowed.", "Copy the text into this template."),
    nodes.Extends: ("Extending is not allowed.", "Copy the text into this template."),
    nodes.Block: ("A block is not allowed.", "Write the text out."),
    nodes.Assign: ("Assigning is not allowed.", "Give the value as a variable of the lead."),
    nodes.AssignBlock: ("Assigning is not allowed.", "Give the value as a variable of the lead."),
    nodes.FilterBlock: ("A filter block is not allowed.", "Use the filter on each variable."),
    nodes.CondExpr: ("An inline if is not allowed.", "Write {% if ... %}...{% endif %}."),
    nodes.Concat: ("Joining with ~ is not allowed.", "Write the two beside each other."),
    nodes.List: ("A list is not allowed.", "Give the list as a variable."),
    nodes.Tuple: ("A tuple is not allowed.", "Give the list as a variable."),
    nodes.Dict: ("A dictionary is not allowed.", "Give it as a variable."),
    nodes.Slice: ("A slice is not allowed.", "Give the part you need as a variable."),
    nodes.Test: ("A test with `is` is not allowed.", "Write {% if name %}: missing is false."),
}
_ARITHMETIC = ("Arithmetic is not allowed.", "Give the result as a variable of the lead.")


class Refusal(Exception):
    """One construct is refused; the conversion goes on beside it."""

    def __init__(self, line: int, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.line, self.what, self.fix = line, what, fix


class Conversion:
    """One walk over Jinja2's tree, collecting refusals; counts nodes and loops as it goes."""

    def __init__(self, reserved: Mapping[str, tree.Node] | None) -> None:
        self.refusals: list[Refusal] = []
        self._is_accepted = reserved is not None
        self._reserved = reserved or {}
        # What is rewritten was counted when it was accepted.
        self._left = MAX_REBUILT_NODES if self._is_accepted else MAX_NODES
        self._loops: list[str] = []

    def body(self, statements: list[nodes.Node], depth: int = 0) -> tree.Body:
        """Return the statements as our tree; what was refused is left out and noted."""
        return tuple(node for one in statements for node in self._statement(one, depth + 1))

    def _statement(self, node: nodes.Node, depth: int) -> Iterator[tree.Node]:
        try:
            self._count(node, depth)
            match node:
                case nodes.Output():
                    for printed in node.nodes:
                        yield from self._statement(printed, depth)
                case nodes.TemplateData():
                    yield tree.Text(text=node.data)
                case nodes.Name() if node.name in self._reserved:
                    yield self._reserved[node.name]
                case nodes.If():
                    yield self._if(node, depth)
                case nodes.For():
                    yield self._for(node, depth)
                case nodes.Expr():
                    yield tree.Show(value=self._expression(node, depth))
                case _:
                    raise _unlisted(node)
        except Refusal as refusal:
            self.refusals.append(refusal)

    def _count(self, node: nodes.Node, depth: int) -> None:
        self._left -= 1
        if self._left == 0:
            raise Refusal(node.lineno, f"There are more than {MAX_NODES} pieces.", "Shorten it.")
        if depth > MAX_DEPTH:
            raise Refusal(node.lineno, f"It nests deeper than {MAX_DEPTH} levels.", "Flatten it.")

    def _if(self, node: nodes.If, depth: int) -> tree.If:
        arms = [node, *node.elif_]
        branches = tuple(
            (self._test(arm.test, depth + 1), self.body(arm.body, depth)) for arm in arms
        )
        return tree.If(branches=branches, otherwise=self.body(node.else_, depth))

    def _test(self, node: nodes.Node, depth: int) -> tree.Expression:
        """Return a test, or a stand-in after noting why not, so that the bodies are read too."""
        try:
            return self._expression(node, depth)
        except Refusal as refusal:
            self.refusals.append(refusal)
            return tree.Constant(value=None)

    def _for(self, node: nodes.For, depth: int) -> tree.For:
        if not isinstance(node.target, nodes.Name):
            raise Refusal(node.lineno, "A loop has one variable.", "Write {% for item in list %}.")
        if node.test is not None or node.recursive:
            raise Refusal(node.lineno, "A loop takes no test.", "Put an {% if %} inside it.")
        name = _checked_name(node.target.name, node.lineno)
        if len(self._loops) == MAX_LOOPS:
            raise Refusal(node.lineno, f"Loops nest at most {MAX_LOOPS} deep.")
        items = self._expression(node.iter, depth + 1)
        if not isinstance(items, tree.Lookup):
            what = "A loop runs over a list that the mail is given, by its name."
            raise Refusal(node.lineno, what, "Write {% for item in items %}.")
        self._loops.append(name)
        body = self.body(node.body, depth)
        self._loops.pop()
        return tree.For(name=name, items=items, body=body, otherwise=self.body(node.else_, depth))

    def _expression(  # noqa: PLR0911 - one return for each kind of expression
        self, node: nodes.Node, depth: int
    ) -> tree.Expression:
        self._count(node, depth)
        match node:
            case nodes.Const():
                return tree.Constant(value=_constant(node))
            case nodes.Name() | nodes.Getattr() | nodes.Getitem():
                return self._lookup(node)
            case nodes.Filter():
                return self._filter(node, depth + 1)
            case nodes.Compare():
                return self._comparison(node, depth + 1)
            case nodes.Not():
                return tree.Not(value=self._expression(node.node, depth + 1))
            case nodes.And():
                return tree.Both(
                    left=self._expression(node.left, depth + 1),
                    right=self._expression(node.right, depth + 1),
                )
            case nodes.Or():
                return tree.Either(
                    left=self._expression(node.left, depth + 1),
                    right=self._expression(node.right, depth + 1),
                )
            case _:
                raise _unlisted(node)

    def _lookup(self, node: nodes.Node) -> tree.Lookup:
        keys: list[str | int] = []
        while not isinstance(node, nodes.Name):
            if isinstance(node, nodes.Getattr):
                keys.append(_checked_name(node.attr, node.lineno))
            elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
                keys.append(_checked_key(node.arg))
            else:
                raise _unlisted(node.arg if isinstance(node, nodes.Getitem) else node)
            if len(keys) > MAX_DEPTH:
                raise Refusal(node.lineno, f"It nests deeper than {MAX_DEPTH} levels.")
            node = node.node
        keys.append(_checked_name(node.name, node.lineno))
        if keys[-1] == "loop" and not self._loops and not self._is_accepted:
            raise Refusal(node.lineno, "`loop` is known inside a loop only.")
        return tree.Lookup(path=tuple(reversed(keys)))

    def _filter(self, node: nodes.Filter, depth: int) -> tree.Expression:
        if node.node is None:
            raise _unlisted(node)
        if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
            raise Refusal(node.lineno, f"The filter {node.name} takes no named arguments.")
        value = self._expression(node.node, depth)
        if node.name in _DEFAULTS and 1 <= len(node.args) <= 2:
            return tree.Default(value=value, otherwise=self._expression(node.args[0], depth))
        if node.name in (*FILTERS, *_NO_EFFECT) and not node.args:
            return (
                value if node.name in _NO_EFFECT else tree.Filtered(value=value, filter=node.name)
            )
        raise _bad_filter(node)

    def _comparison(self, node: nodes.Compare, depth: int) -> tree.Compared:
        if len(node.ops) != 1:
            raise Refusal(node.lineno, "Compare two values at a time.", "Join tests with `and`.")
        return tree.Compared(
            left=self._expression(node.expr, depth),
            comparison=tree.Comparison(node.ops[0].op),
            right=self._expression(node.ops[0].expr, depth),
        )


def _constant(node: nodes.Const) -> str | int | float | bool | None:
    value = node.value
    if isinstance(value, str) and len(value) > _MAX_CONSTANT:
        raise Refusal(
            node.lineno, "A text in an expression is too long.", "Write it as plain text."
        )
    if isinstance(value, int | float) and not abs(value) <= _MAX_NUMBER:
        raise Refusal(node.lineno, "A number is too large.")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise Refusal(node.lineno, "This constant is not allowed.")


def _checked_name(name: str, line: int) -> str:
    if name.startswith("_"):
        raise Refusal(line, f"The name {name[:40]} starts with an underscore.", "Rename it.")
    return name


def _checked_key(node: nodes.Const) -> str | int:
    key = _constant(node)
    if isinstance(key, str):
        return _checked_name(key, node.lineno)
    if isinstance(key, int) and not isinstance(key, bool):
        return key
    raise Refusal(node.lineno, "A key is a name, or a whole number from 0.")


def _bad_filter(node: nodes.Filter) -> Refusal:
    known = (*FILTERS, "default", "escape")
    if node.name == "safe":
        return Refusal(
            node.lineno, "The filter safe is not allowed.", "Values are always escaped in HTML."
        )
    if node.name in (*known, *_DEFAULTS, *_NO_EFFECT):
        return Refusal(node.lineno, f"The filter {node.name} is given wrong arguments.")
    near = difflib.get_close_matches(node.name, known, n=1)
    fix = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
    return Refusal(node.lineno, f"The filter {node.name[:40]} is unknown.", fix)


def _unlisted(node: nodes.Node) -> Refusal:
    # Some of Jinja2's scopes know no line; what is inside them does.
    line = node.lineno or next((one.lineno for one in node.find_all(nodes.Node) if one.lineno), 1)
    if isinstance(node, nodes.BinExpr | nodes.UnaryExpr) and not isinstance(node, nodes.Not):
        return Refusal(line, *_ARITHMETIC)
    what, fix = _INSTEAD.get(
        type(node), ("This is not part of the template language.", "Use variables, if and for.")
    )
    return Refusal(line, what, fix)
