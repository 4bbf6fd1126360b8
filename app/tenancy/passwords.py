"""Passwords: argon2id with the parameters of RFC 9106, and what a password must be."""

import functools

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from app.errors import InputInvalid

SHORTEST, LONGEST = 12, 256

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """Return what is kept of a password; raises InputInvalid when it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InputInvalid(
            "This password cannot be used.",
            why=f"It has {SHORTEST} to {LONGEST} characters; a sentence is a good one.",
            field="password",
        )
    return _hasher.hash(password)


def matches(kept: str | None, password: str) -> bool:
    """Return whether `password` is the one; takes as long when nothing is kept."""
    try:
        return _hasher.verify(kept or _nobody(), password[: LONGEST + 1]) and kept is not None
    except VerifyMismatchError:
        return False


def is_outdated(kept: str) -> bool:
    """Return whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(kept)


@functools.cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")
