"""Addresses as reports and notices write them: typed, bracketed, quoted, encoded (RFC 3464, 2.3).

`rfc822;user@example.com`, `<user@example.com>`, `"SMTP:user@example.com"`, `user+40example.com`
in xtext (RFC 3461, 4), `<@relay:user@example.com>` with a source route: all are one address.
"""

import re
from collections.abc import Iterable

_LOCAL = r"[^\s<>()\[\]\\,;:\"'@`|{}]{1,64}"
_QUOTED = r"\"[^\"@<>\n]{1,62}\""
_DOMAIN = r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_](?:[\w-]{0,61}[^\W_])?\.?"
_LITERAL = r"\[\d{1,3}(?:\.\d{1,3}){3}\]"
# What a report names is a recipient even when no such domain can exist.
_HOST = r"[^\s<>()\[\]\\,;:\"@]{1,250}"
ADDRESS = rf"(?:{_LOCAL}|{_QUOTED})@(?:{_DOMAIN}|{_LITERAL})"
_ADDRESS = re.compile(ADDRESS)
# In a field of a report one label is a domain, too: `root@localhost`.
_FIELD = re.compile(
    rf"(?:[^\s<>()\[\]\\,;:\"@]{{1,64}}|{_QUOTED})@(?:{_DOMAIN}|{_LITERAL}|{_HOST})"
)
_TYPE = re.compile(
    r"\s*(rfc-?822|utf-8|unknown|x\.?400|smtp|internet|mailto|x-[\w-]{1,20})\s*[;:]", re.IGNORECASE
)
_ROUTE = re.compile(r"@[\w.,@-]{1,250}:(?=[^\s@]{1,64}@)")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UTF8 = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_EDGES = " \t<>\"'`.,;:!?()[]|"
_PREFIX = re.compile(r"^(?:mailto|smtp)[:=]", re.IGNORECASE)
_LONGEST = 320


def recipient_of(value: str) -> str | None:
    """Return the address in a recipient field, without its type; None when there is none."""
    text = value.strip()[: 3 * _LONGEST]
    while found := _TYPE.match(text):
        text = text[found.end() :]
    text = _UTF8.sub(lambda m: _character(m[1]), text)
    if "@" not in text and _XTEXT.search(text):
        text = _XTEXT.sub(lambda m: _character(m[1]), text)
    text = _ROUTE.sub("", text)
    found = _FIELD.search(text)
    return _trimmed(found[0]) if found else None


def _character(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if 0x20 < number < 0xD800 else "?"


def addresses_in(text: str) -> list[str]:
    """Return the addresses of a text in their order, each once (case ignored)."""
    return unique(_trimmed(found[0]) for found in _ADDRESS.finditer(text))


def unique(addresses: Iterable[str]) -> list[str]:
    """Return addresses in their order, each once; case is ignored, the first spelling stays."""
    seen: dict[str, str] = {}
    for address in addresses:
        seen.setdefault(address.lower(), address)
    return list(seen.values())


def _trimmed(address: str) -> str:
    local, _, domain = address.rpartition("@")
    if not local.startswith('"'):
        local = _PREFIX.sub("", local.lstrip(_EDGES + "*=>-")) or local
    return f"{local}@{domain.rstrip('.')}"
