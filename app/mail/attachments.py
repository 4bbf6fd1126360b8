"""Files in a mail: what may be attached, and how each part is headed (RFC 2045, 2183, 2231, 2392).

A file is base64 whatever it holds. `multipart` and `message` types may not be base64 (RFC 2046,
5.2), so they are refused: a forwarded mail is attached as application/octet-stream.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from app.errors import InputInvalid

_TYPE = re.compile(
    r"([a-z0-9][a-z0-9!#$&^_.+-]{0,60})/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}(?:; ?charset=[a-z0-9_.-]{1,40})?",
    re.IGNORECASE,
)
_NOT_BASE64 = ("multipart", "message")
_CONTENT_ID = re.compile(r"[A-Za-z0-9._+-]{1,64}(?:@[A-Za-z0-9.-]{1,64})?")
_QUOTABLE = re.compile(r"[ -~]{1,120}")
_LONGEST_NAME = 200
_SECTION = 60  # characters of a name in one line of RFC 2231
_MEGABYTE = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentLimits:
    """What one message may carry: files, and bytes of all of them before base64 adds a third."""

    most: int = 20
    total_bytes: int = 15 * _MEGABYTE

    @classmethod
    def of_app(cls, settings: Mapping[str, Any]) -> "AttachmentLimits":
        """Return the limits an app's settings name (attachments_most, attachments_total_bytes)."""
        usual = cls()
        return cls(
            most=_number(settings.get("attachments_most"), usual.most),
            total_bytes=_number(settings.get("attachments_total_bytes"), usual.total_bytes),
        )


def _number(given: object, usual: int) -> int:
    return given if isinstance(given, int) and given >= 0 else usual


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedFile:
    """A file of a message without its bytes. `content_id` is what `cid:` in the HTML names."""

    filename: str
    content_type: str
    size_bytes: int
    content_id: str | None = None
    is_inline: bool = False


def check_attachments(files: Sequence[AttachedFile], limits: AttachmentLimits) -> None:
    """Raise InputInvalid for the first file, or the sum of them, that must not be attached.

    The field names the file by its place: `attachments.0.filename`.
    """
    if len(files) > limits.most:
        why = f"A message carries {limits.most} files at most; it has {len(files)}."
        raise _refused("attachments", why, "Send fewer files, or link to them.")
    total = sum(file.size_bytes for file in files)
    if total > limits.total_bytes:
        why = f"Its files have {total:,} bytes; {limits.total_bytes:,} are allowed."
        raise _refused("attachments", why, "Send smaller files, or link to them.")
    named: set[str] = set()
    for place, file in enumerate(files):
        _check(f"attachments.{place}", file)
        if file.content_id in named:
            why = f"The content id {file.content_id} is used twice."
            raise _refused(f"attachments.{place}.content_id", why, "Give each file its own.")
        if file.content_id:
            named.add(file.content_id)


def _check(field: str, file: AttachedFile) -> None:
    name = file.filename
    is_short = bool(name.strip()) and len(name) <= _LONGEST_NAME
    if not is_short or not name.isprintable() or {"/", "\\"} & set(name):
        why = f"A file name has 1 to {_LONGEST_NAME} printable characters and no slash."
        raise _refused(f"{field}.filename", why, "Rename the file.")
    found = _TYPE.fullmatch(file.content_type)
    if found is None or found[1].lower() in _NOT_BASE64:
        why = f"{file.content_type[:80]!r} is no type a file can be sent with."
        raise _refused(f"{field}.content_type", why, "Use application/octet-stream if in doubt.")
    if file.content_id is not None and _CONTENT_ID.fullmatch(file.content_id) is None:
        why = "A content id is letters, digits and ._+-, such as logo or logo@shop.example."
        raise _refused(f"{field}.content_id", why, "Name it in the HTML as cid:logo.")
    if file.is_inline and not file.content_id:
        why = "An inline file is shown where the HTML names its content id."
        raise _refused(f"{field}.content_id", why, "Give one, or attach the file.")


def _refused(field: str, why: str, fix: str) -> InputInvalid:
    return InputInvalid("The attachment is refused.", why=why, fix=fix, field=field)


def decoded(text: str, *, most_bytes: int, field: str) -> bytes:
    """Return the bytes of base64 text; raises InputInvalid before decoding more than `most_bytes`."""
    if len(text) > (most_bytes + 2) // 3 * 4 + len(text) // 38:  # line ends are allowed
        why = f"It is larger than {most_bytes:,} bytes."
        raise _refused(field, why, "Send a smaller file, or link to it.")
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(field, f"It is no base64: {error}.", "Encode it by RFC 4648.") from error
    if len(raw) > most_bytes:
        raise _refused(field, f"It is larger than {most_bytes:,} bytes.", "Send a smaller file.")
    return raw


def encoded(content: bytes) -> bytes:
    """Return the body of a file's part: base64 in lines of 76, without a line end after the last."""
    return base64.encodebytes(content).rstrip(b"\n").replace(b"\n", b"\r\n")


def file_head(file: AttachedFile) -> str:
    """Return the header block of a file's part, its blank line included."""
    place = "inline" if file.is_inline else "attachment"
    content_id = f"Content-ID: <{file.content_id}>\r\n" if file.content_id else ""
    name = ";\r\n ".join(_named(file.filename))
    return (
        f"Content-Type: {file.content_type}\r\n"
        f"Content-Transfer-Encoding: base64\r\n{content_id}"
        f"Content-Disposition: {place};\r\n {name}\r\n\r\n"
    )


def _named(filename: str) -> Iterator[str]:
    """Yield the parameters that name a file: plain where ASCII, else in sections (RFC 2231, 4.1)."""
    if _QUOTABLE.fullmatch(filename):
        escaped = filename.replace("\\", "\\\\").replace('"', '\\"')
        yield f'filename="{escaped}"'
        return
    left, number = quote(filename, safe=""), 0
    while left:
        cut = _SECTION
        while "%" in left[cut - 2 : cut]:
            cut -= 1
        start = "utf-8''" if number == 0 else ""
        yield f"filename*{number}*={start}{left[:cut]}"
        left, number = left[cut:], number + 1
