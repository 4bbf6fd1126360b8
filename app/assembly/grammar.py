"""Template source to tree: Jinja2's parser reads it, the whitelist copies what is allowed.

Jinja2 never compiles or runs a template here.
"""

from collections.abc import Iterable, Mapping

import jinja2
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from app.assembly import tree
from app.assembly.whitelist import Conversion
from app.errors import TemplateProblem


class _QuotedDefault(Extension):
    """Reads `{{name|'Customer'}}` as `{{name|default('Customer')}}`."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        after_pipe = False
        for token in stream:
            if after_pipe and token.type == "string":
                yield Token(token.lineno, "name", "default")
                yield Token(token.lineno, "lparen", "(")
                yield token
                yield Token(token.lineno, "rparen", ")")
            else:
                yield token
            after_pipe = token.type == "pipe"


_SYNTAX = "Write {{ name }}, {% if name %}...{% endif %} or {% for item in list %}...{% endfor %}."

# As people write it: a line that holds only {% ... %} leaves no empty line behind.
WRITTEN = jinja2.Environment(  # noqa: S701 - only parses; escaping is ours, per part
    extensions=[_QuotedDefault], trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
)
# As `marking` put it together again: that trimming is done.
REBUILT = jinja2.Environment(  # noqa: S701 - as above
    extensions=[_QuotedDefault], keep_trailing_newline=True
)


def read(
    source: str,
    part: str,
    *,
    environment: jinja2.Environment = WRITTEN,
    reserved: Mapping[str, tree.Node] | None = None,
) -> tuple[tree.Body, tuple[TemplateProblem, ...]]:
    """Return the tree of one part and every problem in it; with problems the tree is of no use.

    `reserved` maps names that start with an underscore to nodes; None for what people write, a
    mapping for what was accepted already and is read again, whole or in part.
    """
    try:
        parsed = environment.parse(source)
    except jinja2.TemplateSyntaxError as error:
        return (), (_problem(part, error.lineno, error.message or "It cannot be read.", _SYNTAX),)
    except (RecursionError, ValueError, OverflowError):
        what = "An expression nests too deep or holds too large a number."
        return (), (_problem(part, 1, what, "Make it simpler."),)
    conversion = Conversion(reserved)
    body = conversion.body(parsed.body)
    return body, tuple(
        _problem(part, refusal.line, refusal.what, refusal.fix) for refusal in conversion.refusals
    )


def _problem(part: str, line: int, what: str, fix: str = "") -> TemplateProblem:
    return TemplateProblem(part=part, line=line, what=what, fix=fix)
