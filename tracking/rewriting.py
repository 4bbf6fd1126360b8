"""Links and the pixel in HTML: find, replace, insert; every other byte stays. Pure.

One pass from left to right, linear in the length whatever the input. Comments are one piece, so
conditional comments for Outlook stay as written; script, style, title and textarea are text.
"""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from app.mail.address import ascii_domain
from tracking.tokens import MAX_URL

_OPEN = re.compile(r"<(?:(?P<comment>!--)|(?P<tag>/?[A-Za-z][^\s/>\"'<=]*))")
_ATTRIBUTE = re.compile(
    r"""[\s/]*(?P<name>[^\s"'<>/=]+)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s"'>]+))?"""
)
_RAW_TEXT = {
    name: re.compile(rf"</{name}\b", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea")
}
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_WEB = re.compile(r"https?://", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What RFC 3986 allows in a URL; the rest is percent-encoded.
_URL_SAFE = "%:/?#[]@!$&'()*+,;=-._~"
NOTRACK = "data-mq-notrack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Href:
    """One href of an a or area element: where its raw value stands, and what it says."""

    start: int
    end: int
    value: str


def replace_links(source: str, replacement: Callable[[str], str | None]) -> str:
    """Return HTML with new href values; `replacement` gets the decoded value, None keeps it.

    A replacement must be attribute-safe already: no quotes, `&` as `&amp;`. Elements that carry
    `data-mq-notrack` are left alone.
    """
    out: list[str] = []
    done = 0
    for href in hrefs(source):
        new = replacement(href.value)
        if new is not None:
            out += [source[done : href.start], f'"{new}"']
            done = href.end
    return "".join([*out, source[done:]])


def hrefs(source: str) -> Iterator[Href]:
    """Yield the hrefs of a and area elements that may be tracked, in order."""
    for name, start in _tags(source):
        if name in {"a", "area"}:
            found = _href(source, start)
            if found is not None:
                yield found


def _tags(source: str) -> Iterator[tuple[str, int]]:
    """Yield (lower-case name, where its attributes start) of every tag outside comments."""
    place = 0
    while (found := _OPEN.search(source, place)) is not None:
        if found["comment"]:
            end = source.find("-->", found.end())
            if end < 0:
                return
            place = end + 3
            continue
        name = found["tag"].lower()
        yield name, found.end()
        place = found.end()
        if name in _RAW_TEXT:
            closing = _RAW_TEXT[name].search(source, place)
            if closing is None:
                return
            place = closing.start()
        else:
            place = _past_attributes(source, place)


def _past_attributes(source: str, place: int) -> int:
    """Return where a tag's attributes end, so that a `<` inside a value opens no tag."""
    while (found := _ATTRIBUTE.match(source, place)) is not None:
        place = found.end()
    return place


def _href(source: str, place: int) -> Href | None:
    """Return the first href of the tag whose attributes start at `place`, unless it opts out."""
    href = None
    while (found := _ATTRIBUTE.match(source, place)) is not None:
        place = found.end()
        name = found["name"].lower()
        if name == NOTRACK:
            return None
        if name == "href" and href is None and found["value"] is not None:
            value = _ENTITY.sub(lambda one: html.unescape(one[0]), _unquoted(found["value"]))
            href = Href(start=found.start("value"), end=found.end("value"), value=value.strip())
    return href


def _unquoted(value: str) -> str:
    return value[1:-1] if value[0] in "\"'" else value


def destination(url: str) -> str | None:
    """Return a URL a click may lead to, percent-encoded where needed, or None.

    http and https only, with a host, without user information or control characters, at most
    2,048 characters. The click route checks with this function again.
    """
    stripped = url.strip()
    if not _WEB.match(stripped) or _CONTROL.search(stripped) or "\\" in stripped:
        return None
    encoded = quote(stripped.encode("utf-8", "replace"), safe=_URL_SAFE)
    if not stripped.isascii():
        encoded = _with_idna_host(stripped, encoded)
    try:
        parts = urlsplit(encoded)
        usable = parts.hostname is not None and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return None
    return encoded if usable and len(encoded) <= MAX_URL else None


def _with_idna_host(url: str, encoded: str) -> str:
    """Return the encoded URL with a host DNS can look up; empty when there is no such host."""
    host = re.split(r"[/?#:]", url.partition("://")[2], maxsplit=1)[0]
    try:
        return encoded.replace(quote(host, safe=_URL_SAFE), ascii_domain(host), 1)
    except UnicodeError:
        return ""


def insert_pixel(source: str, pixel: str) -> str:
    """Return HTML with the pixel before the last </body>, else </html>, else at the end."""
    places = {"/body": -1, "/html": -1}
    for name, start in _tags(source):
        if name in places:
            places[name] = start - len(name) - 1
    place = places["/body"] if places["/body"] >= 0 else places["/html"]
    return source + pixel if place < 0 else source[:place] + pixel + source[place:]
