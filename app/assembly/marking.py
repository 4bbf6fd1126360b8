"""Template code as single characters, so HTML can be read and changed around it.

`{{ a|default("<x>") }}` inside an attribute would confuse every HTML reader. `mark` replaces each
construct by one private-use character of plane 16; `unmark` puts the code back.
"""

import re

from app.assembly.grammar import WRITTEN

_FIRST = 0x100000
MARK = re.compile("[\U00100000-\U0010fffd]")
_LITERALS = re.compile(r"\{\{|\{%|\{#")


class Marks:
    """The constructs of one part; a mark is a character, its place in the list its code."""

    def __init__(self) -> None:
        self._codes: list[str] = []

    def add(self, code: str) -> str:
        """Return the character that stands for `code`."""
        self._codes.append(code)
        return chr(_FIRST + len(self._codes) - 1)

    def mark(self, source: str) -> str:
        """Return a source that Jinja2 can parse, its constructs replaced, its comments left out.

        White space that the constructs trim is trimmed here; the result belongs to `REBUILT`.
        """
        out: list[str] = []
        inside: list[str] | None = None
        for _, kind, value in WRITTEN.lex(source):
            if inside is None and kind == "data":
                out.append(value)
            elif kind.endswith("_begin"):
                inside = [_opening(kind)]
            elif kind.endswith("_end") and inside is not None:
                out.append(self._closed(kind, inside))
                inside = None
            elif inside is not None:
                inside.append(value)
        return "".join(out)

    def _closed(self, kind: str, inside: list[str]) -> str:
        if kind == "comment_end":
            return ""
        return self.add("".join([*inside, _closing(kind)]))

    def is_control(self, marked: str) -> bool:
        """Tell whether a text is nothing but `if`, `for` and their ends, which print nothing."""
        return (
            MARK.sub(lambda found: "" if self._is_block(found[0]) else " x", marked).strip() == ""
        )

    def _is_block(self, mark: str) -> bool:
        code = self._codes[ord(mark) - _FIRST]
        return code.startswith("{%") and not code.startswith("{% raw %}")

    def unmark(self, marked: str) -> str:
        """Return the source with the code back in its places."""
        return MARK.sub(lambda found: self._codes[ord(found[0]) - _FIRST], marked)

    def protected(self, text: str) -> str:
        """Return text in which what looks like template code, but was not, stays text."""
        return _LITERALS.sub(lambda found: self.add(f"{{{{ '{found[0]}' }}}}"), text)


def _opening(kind: str) -> str:
    return {"variable_begin": "{{", "raw_begin": "{% raw %}", "comment_begin": ""}.get(kind, "{%")


def _closing(kind: str) -> str:
    return {"variable_end": "}}", "raw_end": "{% endraw %}"}.get(kind, "%}")
