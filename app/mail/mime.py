"""MIME bodies for template versions: quoted-printable text that may be cut into segments (RFC 2045).

A part is pieces of encoded text with a soft line break between any two, so lines stay within 76
characters whatever a slot holds. No line starts with a dot, so dot-stuffing finds nothing to do.
"""

import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.mail.attachments import AttachedFile, file_head

SOFT_BREAK = "=\r\n"
# A value quoted-printable and HTML both leave alone; short enough for one line.
PLAIN = re.compile(r"(?:[A-Za-z0-9 ,;:!?()/@_+*#\[\]-][A-Za-z0-9 .,;:!?()/@_+*#\[\]-]{0,58})?")
_DROPPED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE = 76
_CUT = 72


def quoted_printable(text: str) -> str:
    """Return text encoded as ASCII with CR LF, its last line short enough for a soft break.

    Line ends of any kind become CR LF; other control characters are dropped.
    """
    clean = _DROPPED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    raw = binascii.b2a_qp(clean.encode("utf-8", "replace"), istext=True).decode("ascii")
    lines = raw.split("\n")
    last = len(lines) - 1
    for index, line in enumerate(lines):
        if line[:1] == "." or len(line) > _LINE - (index == last):
            lines[index] = _mended(line, _LINE - (index == last))
    return "\r\n".join(lines)


def _mended(line: str, longest: int) -> str:
    """Return a line cut to `longest` characters without a leading dot, never inside =XX."""
    done: list[str] = []
    while True:
        if line.startswith("."):
            line = "=2E" + line[1:]
        if len(line) <= longest:
            return SOFT_BREAK.join([*done, line])
        cut = _CUT
        while "=" in line[cut - 2 : cut]:
            cut -= 1
        done.append(line[:cut])
        line = line[cut:]


def slot_value(text: str) -> str:
    """Return one value as it stands between two soft breaks."""
    if PLAIN.fullmatch(text) and text[-1:] != " ":
        return text
    return quoted_printable(text)


def boundary(*contents: str) -> str:
    """Return a boundary fixed by the contents; `=_` never occurs in quoted-printable."""
    digest = hashlib.sha256("\0".join(contents).encode("utf-8", "replace")).hexdigest()
    return f"=_{digest[:24]}"


def part_head(subtype: str) -> str:
    """Return the header block of a text part, its blank line included."""
    return (
        f"Content-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )


def _opened(subtype: str, mark: str) -> str:
    """Return the header of a multipart up to the head of its first part."""
    kind = '; type="text/html"' if subtype == "related" else ""
    return f'Content-Type: multipart/{subtype}; boundary="{mark}"{kind}\r\n\r\n--{mark}\r\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """MIME headers and body up to the last slot (integers), and what follows: text, file numbers."""

    layout: list[str | int]
    tail: list[str | int]


def body(
    text: Sequence[str | int],
    html: Sequence[str | int] | None,
    files: Sequence[AttachedFile],
    seed: str,
) -> Body:
    """Return the parts in one another: mixed(alternative(text, related(html, inline files)), files).

    The richer of two texts comes last (RFC 2046, 5.1.4). Inline files stand beside the HTML that names them (RFC 2387); without HTML all are attached.
    A container with one part is left out. `seed` fixes the boundaries.
    """
    inline = [n for n, file in enumerate(files) if file.is_inline and html is not None]
    attached = [n for n in range(len(files)) if n not in inline]
    mixed, both, related = (boundary(kind, seed) for kind in ("mixed", "alternative", "related"))
    head = "MIME-Version: 1.0\r\n" + (_opened("mixed", mixed) if attached else "")
    tail: list[str | int] = []
    if html is None:
        layout = [head + part_head("plain"), *text]
    else:
        layout = [f"{head}{_opened('alternative', both)}{part_head('plain')}", *text]
        around = _opened("related", related) if inline else ""
        layout += [f"\r\n--{both}\r\n{around}{part_head('html')}", *html]
        tail = [*_files(inline, files, related), f"\r\n--{both}--"]
    return Body(layout=layout, tail=[*tail, *_files(attached, files, mixed), "\r\n"])


def _files(numbers: Sequence[int], files: Sequence[AttachedFile], mark: str) -> list[str | int]:
    """Return files as the last parts of a multipart, with its end; nothing when there is none."""
    parts: list[str | int] = []
    for number in numbers:
        parts += [f"\r\n--{mark}\r\n{file_head(files[number])}", number]
    return [*parts, f"\r\n--{mark}--"] if parts else []
