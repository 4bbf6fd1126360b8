"""Free text without addresses: what servers and libraries say may quote a recipient's.

`without_addresses` is for text that nobody can erase by person later: logs, journals, archives, notes
on servers and domains. `mention` finds one person in what is kept for a while. Pure.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

# Whatever stands around an @ without white space; quoted local parts may hold spaces (RFC 5322,
# 3.4.1). The first character and the domain stay: enough to see whose server is meant. A match begins
# where a word begins and gives nothing back: a text of any length is read once.
_ADDRESS = re.compile(
    r"""(?: "(?P<quoted>[^"\s@])[^"@]*+"
          | (?<![^\s"'<>()\[\]{},;:=@\\]) (?P<first>[^\s"'<>()\[\]{},;:=@\\])
            [^\s"'<>()\[\]{},;:=@\\]*+ )
        @ (?P<domain>[^\s"'<>()\[\]{},;:=@\\]+)""",
    re.VERBOSE,
)


def without_addresses(text: str) -> str:
    """Return `text` with each address as `a***@example.com`."""
    return _ADDRESS.sub(_masked, text) if "@" in text else text


def _masked(found: re.Match[str]) -> str:
    return f"{found['quoted'] or found['first']}***@{found['domain']}"


ERASED = "erased"

# A character that would make the address another, longer one. An escape of JSON (\\n) or of a URL (%3A)
# is no part of it.
_BEFORE = r"(?:(?<=\\[bfnrt])|(?<=%[0-9a-f][0-9a-f])|(?<![\w.%+-]))"
_AFTER = r"(?![\w-]|\.\w)"


def mention(address: str) -> str:
    """Return a pattern of the whole address in a text, for PostgreSQL's ~* and Python's IGNORECASE.

    ann@x.io is not in joann@x.io, nor in ann@x.io.example.
    """
    local, _, domain = address.rpartition("@")
    return f"{_BEFORE}{re.escape(local)}(?:@|%40){re.escape(domain)}{_AFTER}"


_JSON_ESCAPE = re.compile(r"\\[bfnrt]")


def addresses(text: str) -> set[str]:
    """Return what may be addresses in a text, its JSON or its URLs; lower case, not all real."""
    read = {text, unquote(text), _JSON_ESCAPE.sub(" ", text)}
    return {found[0].lower() for each in read for found in _ADDRESS.finditer(each)}


def without_person(value: Any, pattern: re.Pattern[str]) -> Any:
    """Return a JSON value whose texts say "erased" where `pattern` (a mention) stood."""
    return _each_text(value, lambda text: pattern.sub(ERASED, text))


def masked_throughout(value: Any) -> Any:
    """Return a JSON value without addresses in any of its texts, keys included."""
    return _each_text(value, without_addresses)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _each_text(inner, change) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_each_text(inner, change) for inner in value]
    return value
