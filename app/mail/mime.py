"""MIME bodies for template versions: quoted-printable text that may be cut into segments (RFC 2045).

A part is pieces of encoded text with a soft line break between any two, so lines stay within 76
characters whatever a slot holds. No line starts with a dot, so dot-stuffing finds nothing to do.
"""

import binascii
import hashlib
import re
from collections.abc import Sequence

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


def single(text: Sequence[str | int]) -> list[str | int]:
    """Return MIME headers and body of a mail that is only text; integers are slots."""
    return ["MIME-Version: 1.0\r\n" + part_head("plain"), *text, "\r\n"]


def alternative(text: Sequence[str | int], html: Sequence[str | int], mark: str) -> list[str | int]:
    """Return MIME headers and body with both parts, the richer one last (RFC 2046, 5.1.4)."""
    head = f'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="{mark}"\r\n\r\n'
    return [
        f"{head}--{mark}\r\n{part_head('plain')}",
        *text,
        f"\r\n--{mark}\r\n{part_head('html')}",
        *html,
        f"\r\n--{mark}--\r\n",
    ]
