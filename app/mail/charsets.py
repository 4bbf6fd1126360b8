"""Bytes of strangers as text: charsets that are wrong, missing or a trap (RFC 2045, RFC 2047).

Python knows "charsets" that are compressors or take quadratic time (zlib, punycode, idna), so only
those of the list below are looked up; everything else is read as UTF-8, then as Windows-1252.
"""

import binascii
import codecs
import re

_KNOWN = frozenset(
    [
        "ascii",
        "utf-8",
        "utf-7",
        "utf-16",
        "utf-16-be",
        "utf-16-le",
        "big5",
        "big5hkscs",
        "cp437",
        "cp850",
        "cp852",
        "cp866",
        "cp874",
        "cp932",
        "cp949",
        "cp950",
        "cp1250",
        "cp1251",
        "cp1252",
        "cp1253",
        "cp1254",
        "cp1255",
        "cp1256",
        "cp1257",
        "cp1258",
        "euc_jp",
        "euc_kr",
        "gb2312",
        "gbk",
        "gb18030",
        "hz",
        "iso2022_jp",
        "iso2022_jp_1",
        "iso2022_jp_2",
        "iso2022_jp_3",
        "iso2022_kr",
        "iso8859-1",
        "iso8859-2",
        "iso8859-3",
        "iso8859-4",
        "iso8859-5",
        "iso8859-6",
        "iso8859-7",
        "iso8859-8",
        "iso8859-9",
        "iso8859-10",
        "iso8859-11",
        "iso8859-13",
        "iso8859-14",
        "iso8859-15",
        "iso8859-16",
        "koi8-r",
        "koi8-u",
        "shift_jis",
        "shift_jis_2004",
        "tis-620",
        "mac-roman",
        "mac-cyrillic",
    ]
)
_ENCODED = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,20})?\?([bBqQ])\?([^?\s]{0,2000})\?=")
_BETWEEN = re.compile(r"(\?=)\s{1,80}(?==\?)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_LONGEST_NAME = 40


def text_of(raw: bytes, charset: str = "") -> str:
    """Return bytes as text without NULs; never fails, whatever the charset is called."""
    return _decoded(raw, charset).replace("\0", "")


def _decoded(raw: bytes, charset: str) -> str:
    name = _codec(charset)
    if name:  # UTF-7 can spell halves of characters, which no table takes
        return raw.decode(name, "replace").encode("utf-8", "replace").decode("utf-8")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _codec(charset: str) -> str:
    """Return Python's name of a charset we decode; empty for none, and for plain ASCII."""
    wanted = charset.strip().lower()[:_LONGEST_NAME]
    if not wanted.isascii() or "\0" in wanted:
        return ""
    try:
        name = codecs.lookup(wanted).name
    except (LookupError, ValueError):
        return ""
    # What claims to be ASCII and is not is usually UTF-8.
    return name if name in _KNOWN and name not in {"ascii", "utf-8"} else ""


def unfolded_words(value: str) -> str:
    """Return a header value with its RFC 2047 words decoded; what is broken stays as it is."""
    if "=?" not in value:
        return value
    return _ENCODED.sub(_word, _BETWEEN.sub(r"\1", value))


def _word(found: re.Match[str]) -> str:
    charset, encoding, payload = found.groups()
    raw = payload.encode("utf-8", "replace")
    if encoding in "bB":
        return text_of(base64_bytes(raw), charset)
    return text_of(binascii.a2b_qp(raw.replace(b"_", b" ")), charset)


def base64_bytes(raw: bytes) -> bytes:
    """Return what base64 says, skipping what does not belong and a torn end."""
    clean = _NOT_BASE64.sub(b"", raw)
    whole = len(clean) - (1 if len(clean) % 4 == 1 else 0)
    return binascii.a2b_base64(clean[:whole] + b"=" * (-whole % 4))
