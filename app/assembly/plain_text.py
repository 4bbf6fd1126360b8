"""The text part of a template that has only HTML, its variables and conditions kept."""

import re

import inscriptis
from inscriptis.model.config import ParserConfig

from app.assembly.marking import Marks

_SHOW_LINKS = ParserConfig(display_links=True)
_BLANK_LINES = re.compile(r"\n{3,}")


def derive(html: str) -> str:
    """Return the template source of a text part; it belongs to `grammar.REBUILT`.

    Links are shown as [text](destination). Code that stands inside a tag is lost with the tag, so
    the result must be read again before it is trusted.
    """
    marks = Marks()
    marked = marks.mark(html)
    # libxml2 refuses a document without an element.
    text: str = inscriptis.get_text(f"{marked}<br>", _SHOW_LINKS)
    lines = (line.rstrip() for line in text.split("\n"))
    tidy = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
    return marks.unmark(marks.protected(tidy)) + "\n"
