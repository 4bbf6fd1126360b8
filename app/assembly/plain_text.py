"""The text part of a template that has only HTML, its variables and conditions kept."""

from collections.abc import Iterator

import inscriptis
from inscriptis.model.config import ParserConfig

from app.assembly.marking import Marks

_SHOW_LINKS = ParserConfig(display_links=True)


def derive(html: str) -> str:
    """Return the template source of a text part, as a person would have written it.

    Links are shown as [text](destination). Code that stands inside a tag is lost with the tag, so
    the result must be read again before it is trusted.
    """
    marks = Marks()
    marked = marks.mark(html)
    # libxml2 refuses a document without an element.
    text: str = inscriptis.get_text(f"{marked}<br>", _SHOW_LINKS)
    tidy = "\n".join(_tidy([line.rstrip() for line in text.split("\n")], marks)).strip("\n")
    return marks.unmark(marks.protected(tidy)) + "\n"


def _tidy(lines: list[str], marks: Marks) -> Iterator[str]:
    """Yield the lines without doubled blank ones; a line of conditions takes its blank line along."""
    for before, line in zip(["", *lines], lines, strict=False):
        if line or not marks.is_control(before):
            yield line
