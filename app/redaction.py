"""Free text without addresses: what servers and libraries say may quote a recipient's.

Used where text is kept that nobody can erase by person later: logs, journals, archives, notes on
servers and domains. Pure.
"""

import re

# Whatever stands around an @ without white space; quoted local parts may hold spaces (RFC 5322,
# 3.4.1). The first character and the domain stay: enough to see whose server is meant.
_ADDRESS = re.compile(
    r"""(?: "(?P<quoted>[^"\s@])[^"@]*" | (?P<first>[^\s"'<>()\[\]{},;:=@]) [^\s"'<>()\[\]{},;:=@]* )
        @ (?P<domain>[^\s"'<>()\[\]{},;:=@\\]+)""",
    re.VERBOSE,
)


def without_addresses(text: str) -> str:
    """Return `text` with each address as `a***@example.com`."""
    return _ADDRESS.sub(_masked, text) if "@" in text else text


def _masked(found: re.Match[str]) -> str:
    return f"{found['quoted'] or found['first']}***@{found['domain']}"
