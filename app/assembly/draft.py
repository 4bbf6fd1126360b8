"""A template as people save it: checked whole, every problem with its part, line and remedy."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.assembly import grammar, plain_text, tree
from app.assembly.marking import MARK
from app.errors import TemplateInvalid, TemplateProblem

MAX_SOURCE = 512 * 1024
MAX_SUBJECT = 2_000
_DROPPED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A template that was accepted. `html` stays source: links are rewritten per version.

    `variables` are the names it reads, without those the system fills in, in order of appearance.
    """

    subject: tree.Body
    text: tree.Body
    html: str | None
    variables: tuple[str, ...]


def parse(subject: str, html: str | None, text: str | None) -> Draft:
    """Return a template ready to compile; raises TemplateInvalid with every problem found.

    A missing or blank text part is derived from the HTML. Needs no database and no network.
    """
    subject, html, text = clean(subject), given(html), given(text)
    problems = [*_size_problems(subject, html, text)]
    if problems:
        raise TemplateInvalid(tuple(problems))
    subject_body, found = grammar.read(subject, "subject")
    html_body, html_found = grammar.read(html or "", "html")
    problems = [*found, *html_found]
    if text is not None:
        text_body, found = grammar.read(text, "text")
        problems += found
    if problems:
        raise TemplateInvalid(tuple(problems))
    if text is None:
        text_body = _derived(html or "")
    return Draft(
        subject=subject_body,
        text=text_body,
        html=html,
        variables=_names(subject_body, text_body, html_body),
    )


def given(part: str | None) -> str | None:
    """Return a part as `clean` leaves it, None when there is none or only white space."""
    return clean(part) if part is not None and part.strip() else None


def clean(source: str) -> str:
    """Return a source with LF line ends, without control characters and half characters."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n")
    return _DROPPED.sub("", lines).encode("utf-8", "replace").decode()


def _size_problems(subject: str, html: str | None, text: str | None) -> Iterator[TemplateProblem]:
    if not subject.strip():
        yield _whole("subject", "The subject is empty.", "Write one.")
    if len(subject) > MAX_SUBJECT:
        yield _whole("subject", f"The subject has more than {MAX_SUBJECT} characters.")
    if html is None and text is None:
        yield _whole("html", "There is neither an HTML nor a text part.", "Write one of them.")
    if len(((html or "") + (text or "")).encode()) > MAX_SOURCE:
        yield _whole("html", f"The template is larger than {MAX_SOURCE // 1024} kB.", "Shorten it.")
    for part, source in (("subject", subject), ("html", html), ("text", text)):
        if source and (found := MARK.search(source)):
            line = source.count("\n", 0, found.start()) + 1
            what = "Private-use characters of plane 16 cannot be used."
            yield TemplateProblem(part=part, line=line, what=what, fix="Remove them.")


def _whole(part: str, what: str, fix: str = "") -> TemplateProblem:
    return TemplateProblem(part=part, line=1, what=what, fix=fix)


def _derived(html: str) -> tree.Body:
    """Return the text part made from HTML; refuses code that cannot be carried over."""
    try:
        source = plain_text.derive(html)
        body, problems = grammar.read(source, "text")
    except RecursionError:  # inscriptis walks the elements recursively
        raise TemplateInvalid(
            (_whole("html", "Its elements nest too deep.", "Write the text part yourself."),)
        ) from None
    if problems:
        what = "No text part can be derived: the HTML has template code between tags or inside one."
        raise TemplateInvalid((_whole("text", what, "Write the text part yourself."),))
    return body


def _names(*bodies: tree.Body) -> tuple[str, ...]:
    found = (lookup.label for body in bodies for lookup in tree.lookups(body))
    return tuple(dict.fromkeys(name for name in found if name != tree.UNSUBSCRIBE))
