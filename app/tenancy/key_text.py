"""An API key as it is handed out: `mq_live_<key id>_<secret>`, or `mq_test_...`. Pure.

The secret has 256 random bits, so it needs no stretching: what is kept is its HMAC-SHA256 under a
pepper that is not in the database (DESIGN 12). The key id is public: it finds the row.
"""

import hmac
import re
import secrets
import string
from dataclasses import dataclass, field

_LETTERS = string.digits + string.ascii_letters
_ID_LETTERS, _SECRET_LETTERS = 12, 43  # 43 of 62 letters hold 256 bits
_KEY = re.compile(
    rf"mq_(live|test)_([0-9A-Za-z]{{{_ID_LETTERS}}})_([0-9A-Za-z]{{{_SECRET_LETTERS}}})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyText:
    """The parts of a key; `is_test`: everything it submits is simulated."""

    public_id: str
    secret: bytes = field(repr=False)
    is_test: bool

    def __str__(self) -> str:
        return f"{prefix(self.public_id, is_test=self.is_test)}_{self.secret.decode()}"


def prefix(public_id: str, *, is_test: bool) -> str:
    """Return the part of a key that lists may show."""
    return f"mq_{'test' if is_test else 'live'}_{public_id}"


def masked(public_id: str, *, is_test: bool) -> str:
    """Return a key as lists show it: all but its secret."""
    return f"{prefix(public_id, is_test=is_test)}_***"


def fresh(*, is_test: bool) -> KeyText:
    """Return a new key."""
    return KeyText(
        public_id=_random(_ID_LETTERS), secret=_random(_SECRET_LETTERS).encode(), is_test=is_test
    )


def read_key(text: str) -> KeyText | None:
    """Return the parts of a key, or None when the text is no key."""
    found = _KEY.fullmatch(text)
    if found is None:
        return None
    kind, public_id, secret = found.groups()
    return KeyText(public_id=public_id, secret=secret.encode(), is_test=kind == "test")


def digest(secret: bytes, pepper: str) -> bytes:
    """Return what is kept of a secret: 32 bytes."""
    return hmac.digest(pepper.encode(), secret, "sha256")


def _random(count: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(count))
