"""A mail from outside taken apart: bounded and tolerant (RFC 5322, RFC 2045, RFC 2046).

The standard library's parser is exact but unbounded: ten thousand nested parts cost it minutes.
This one never fails. It reads at most `MOST_BYTES`, goes `MOST_DEPTH` deep and keeps `MOST_PARTS`;
what is beyond is left out and `truncated` says so. Lines may end in CR LF, LF or CR.
"""

import binascii
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.mail.charsets import base64_bytes, text_of, unfolded_words

MOST_BYTES = 24 * 1024 * 1024
MOST_DEPTH = 12
MOST_PARTS = 200
# Notices are short; of a text only this much is looked at.
MOST_TEXT = 128 * 1024
LONGEST_LINE = 1_000
_MOST_HEADERS, _MOST_HEADER_BYTES, _LONGEST_VALUE = 400, 256 * 1024, 8 * 1024

_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:")
_PARAMETER = re.compile(
    r";\s*([\w*-]{1,40})\s*=\s*(?:\"((?:[^\"\\]|\\.){0,300})\"?|([^\s;]{1,300}))"
)
_MARK = re.compile(rb"(?:^|\n)--([!-~]{4,70})[ \t]*\n(?:content-[a-z-]{3,30}):", re.IGNORECASE)
_UNSHOWN = re.compile(r"<(style|script|title)\b")
_BREAKING = re.compile(
    r"<(?:br|/?p|/?div|/?tr|/?li|/?h[1-6]|/?pre|/?table)\b[^<>]{0,2000}>", re.IGNORECASE
)
_TAG = re.compile(r"<(?![^<>@\s]{1,64}@)[!/a-zA-Z][^<>]{0,2000}>")


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in their order; names in lower case, values unfolded but not decoded."""

    fields: tuple[tuple[str, str], ...] = ()

    def first(self, name: str) -> str:
        """Return the first value of a field with its encoded words decoded; empty for none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [unfolded_words(value) for key, value in self.fields if key == name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A leaf of a mail, or the start of an enclosed one (`kind` message/rfc822, no text).

    `level` counts the mails around it: 0 is the mail itself, 1 what it returns or forwards.
    `headers` are the part's own; of an enclosed mail, those of the mail.
    """

    kind: str
    level: int
    headers: Headers
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A mail: its headers, the media type it declares, its leaves in their order."""

    headers: Headers
    kind: str
    parameters: dict[str, str]
    parts: tuple[Part, ...]
    truncated: bool = False


@dataclass(slots=True)
class _Budget:
    """What may still be taken from one mail."""

    parts: int = MOST_PARTS
    text: int = 8 * MOST_TEXT
    truncated: bool = False


def read_message(raw: bytes) -> Message:
    """Take a mail apart; never fails, and takes time in proportion to `MOST_BYTES` at most."""
    budget = _Budget(truncated=len(raw) > MOST_BYTES)
    data = _with_newlines(raw[:MOST_BYTES])
    if data.startswith((b"From ", b">From ")):
        data = data.partition(b"\n")[2]
    headers, body = _split(data.lstrip(b"\n"))
    kind, parameters = media_type(headers.first("content-type"))
    parts = tuple(_leaves(headers, body, (0, 0), budget))
    return Message(
        headers=headers, kind=kind, parameters=parameters, parts=parts, truncated=budget.truncated
    )


def read_headers(text: str) -> Headers:
    """Return the header fields a text starts with."""
    return _split(text.encode("utf-8", "replace").lstrip(b"\n"))[0]


def _with_newlines(raw: bytes) -> bytes:
    if b"\r" not in raw:
        return raw
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _split(data: bytes) -> tuple[Headers, bytes]:
    """Return the fields at the start of `data` and what follows them.

    A line that is no field ends the headers, as the blank line does: some mails lack it.
    """
    fields: list[tuple[str, str]] = []
    value: list[bytes] = []
    position, name = 0, ""
    while position < len(data):
        end = data.find(b"\n", position)
        end = len(data) if end < 0 else end
        line = data[position : min(end, position + _LONGEST_VALUE)]
        if line[:1] in {b" ", b"\t"} and name and line.strip():
            value.append(line)
        elif found := _FIELD.match(line):
            _keep(fields, name, value)
            name, value = found[1].decode("ascii").lower(), [line[found.end() :]]
        else:
            position = end + 1 if not line.strip() else position
            break
        position = end + 1
        if position > _MOST_HEADER_BYTES:
            break
    _keep(fields, name, value)
    return Headers(tuple(fields)), data[position:]


def _keep(fields: list[tuple[str, str]], name: str, value: list[bytes]) -> None:
    if name and len(fields) < _MOST_HEADERS:
        joined = b" ".join(line.strip() for line in value)[:_LONGEST_VALUE]
        fields.append((name, text_of(joined).strip()))


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """Return a Content-Type in lower case and its parameters; text/plain when it is none."""
    kind = value.partition(";")[0].strip().lower()
    found = {m[1].lower().rstrip("*0"): m[2] or m[3] or "" for m in _PARAMETER.finditer(value)}
    return (kind if "/" in kind else "text/plain"), found


def _leaves(
    headers: Headers, body: bytes, place: tuple[int, int], budget: _Budget
) -> Iterator[Part]:
    """Yield the parts of one entity; `place` is its depth and its level."""
    depth, level = place
    kind, parameters = media_type(headers.first("content-type"))
    if depth > MOST_DEPTH or budget.parts <= 0:
        budget.truncated = True
        return
    mark = parameters.get("boundary", "").strip() or _undeclared_mark(kind, body)
    if mark and (kind.startswith("multipart/") or kind == "text/plain"):
        yield from _entities(body, mark, (depth, level), budget)
        return
    budget.parts -= 1
    if kind in {"message/rfc822", "message/global", "message/news"}:
        inner, rest = _split(_transfer_decoded(headers, body).lstrip(b"\n"))
        yield Part(kind="message/rfc822", level=level + 1, headers=inner, text="")
        yield from _leaves(inner, rest, (depth + 1, level + 1), budget)
    else:
        yield Part(kind=kind, level=level, headers=headers, text=_text(headers, body, kind, budget))


def _undeclared_mark(kind: str, body: bytes) -> str:
    """Return the boundary of a body that is multipart although no header says so (any more)."""
    if not kind.startswith(("multipart/", "text/plain")):
        return ""
    found = _MARK.search(body, 0, 4096)
    return found[1].decode("ascii", "replace") if found else ""


def _entities(body: bytes, mark: str, place: tuple[int, int], budget: _Budget) -> Iterator[Part]:
    """Yield the parts between the boundaries; a mail without any is one text."""
    depth, level = place
    sections = list(_sections(body, mark.encode("utf-8", "replace"), budget))
    preamble = Headers()
    if len(sections) == 1:
        yield from _leaves(preamble, sections[0], (depth + 1, level), budget)
        return
    if sections[0].strip():
        budget.parts -= 1
        text = _text(preamble, sections[0], "text/plain", budget)
        yield Part(kind="text/x-preamble", level=level, headers=preamble, text=text)
    for section in sections[1:]:
        inner, rest = (Headers(), section) if section[:1] == b"\n" else _split(section)
        if "received" in inner and "content-type" not in inner:
            # Some servers put the returned mail here as it is, without saying so.
            yield Part(kind="message/rfc822", level=level + 1, headers=inner, text="")
            continue
        yield from _leaves(inner, rest, (depth + 1, level), budget)


def _sections(body: bytes, mark: bytes, budget: _Budget) -> Iterator[bytes]:
    """Yield the preamble and each section of a multipart body."""
    delimiter = b"\n--" + mark
    lines = b"\n" + body
    start = position = 1
    taken = 0
    while (found := lines.find(delimiter, position - 1)) >= 0:
        after = found + len(delimiter)
        end = lines.find(b"\n", after)
        end = len(lines) if end < 0 else end
        tail = lines[after : min(end, after + 80)].strip()
        position = end + 1
        if tail not in {b"", b"--"}:
            continue
        yield lines[start : found + 1] if found else b""
        start, taken = end + 1, taken + 1
        if tail == b"--" or taken > MOST_PARTS:
            budget.truncated |= taken > MOST_PARTS
            return
    yield lines[start:]


def _transfer_decoded(headers: Headers, body: bytes) -> bytes:
    encoding = headers.first("content-transfer-encoding").strip().lower()
    if encoding == "base64":
        return _with_newlines(base64_bytes(body))
    if encoding == "quoted-printable":
        return _with_newlines(binascii.a2b_qp(body))
    return body


def _text(headers: Headers, body: bytes, kind: str, budget: _Budget) -> str:
    """Return the start of a text in short lines; empty for what is no text."""
    if not kind.startswith(("text/", "message/")) or budget.text <= 0:
        return ""
    _, parameters = media_type(headers.first("content-type"))
    # Encodings and HTML blow text up; four times as much holds what will be kept.
    raw = _transfer_decoded(headers, body[: 4 * MOST_TEXT])
    text = text_of(raw, parameters.get("charset", ""))
    if kind == "text/html":
        text = html_text(text)
    text = _short_lines(text[:MOST_TEXT])
    budget.text -= len(text)
    return text


def _short_lines(text: str) -> str:
    if len(max(text.split("\n"), key=len)) <= LONGEST_LINE:
        return text
    return "\n".join(line[:LONGEST_LINE] for line in text.split("\n"))


def html_text(text: str) -> str:
    """Return what a reader of an HTML part sees, roughly, and always in linear time."""
    shown = _BREAKING.sub("\n", _without_heads(text))
    shown = html.unescape(_TAG.sub("", shown)).replace("\xa0", " ")
    return "\n".join(line.strip() for line in shown.split("\n"))


def _without_heads(text: str) -> str:
    """Return HTML without what is never shown; one pass, also when ends are missing."""
    lowered, kept, position, endless = text.lower(), [], 0, set()
    while found := _UNSHOWN.search(lowered, position):
        kept.append(text[position : found.start()])
        position = found.end()
        end = -1 if found[1] in endless else lowered.find(f"</{found[1]}", position)
        if end < 0:
            # Without its end a head is no head: what follows may be the notice.
            endless.add(found[1])
        else:
            position = end
    return "".join([*kept, text[position:]])
