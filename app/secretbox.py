"""Secrets at rest: AES-256-GCM, bound to the place they stand in (NIST SP 800-38D; TRUST.md).

A sealed secret reads `v1.<key id>.<nonce>.<ciphertext and tag>`, the last two in base64url. Table,
column, row and app are associated data: a sealed text copied to another row does not open. Nonces
are 96 random bits, safe for far more seals per key than there are accounts.

To change the key: put the new one first in MAILQUEUE_SEALING_KEYS, keep the old one behind it,
reseal every secret, then drop the old one.
"""

import base64
import binascii
import os
import re
from collections.abc import Mapping
from typing import Self, TypedDict, Unpack
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import ConfigurationInvalid, SealBroken

VERSION = "v1"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SETTING = "MAILQUEUE_SEALING_KEYS"


class Place(TypedDict):
    """Where a secret stands; the same place must be named to open it."""

    table: str
    column: str
    row_id: UUID
    app_id: UUID | None


class SecretBox:
    """Seals with the key `current`, opens with any of `keys` (key id -> 32 bytes)."""

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = current

    @classmethod
    def from_setting(cls, setting: str) -> Self:
        """Read `kid:base64,kid:base64`; the first seals. Raises ConfigurationInvalid."""
        pairs = [_parsed(entry.strip()) for entry in setting.split(",") if entry.strip()]
        if not pairs:
            raise _unusable("It is empty.")
        if len(dict(pairs)) < len(pairs):
            raise _unusable("A key id stands in it twice.")
        return cls(dict(pairs), current=pairs[0][0])

    def __repr__(self) -> str:
        return f"SecretBox(current={self._current!r})"

    def seal(self, plain: str, **place: Unpack[Place]) -> str:
        """Return `plain` sealed for `place`; the same secret never seals to the same text."""
        nonce = os.urandom(_NONCE_BYTES)
        body = self._ciphers[self._current].encrypt(nonce, plain.encode(), _associated(place))
        return ".".join((VERSION, self._current, _text(nonce), _text(body)))

    def open(self, sealed: str, **place: Unpack[Place]) -> str:
        """Return the secret sealed for `place`; raises SealBroken, which never quotes it."""
        version, _, rest = sealed.partition(".")
        parts = rest.split(".")
        if version != VERSION or len(parts) != 3:
            raise _broken(place, "It is not in the form v1.key.nonce.ciphertext.")
        cipher = self._ciphers.get(parts[0])
        if cipher is None:
            raise _broken(place, f"Its key {parts[0]!r} is not in {_SETTING}.")
        try:
            nonce, body = _bytes(parts[1]), _bytes(parts[2])
            return cipher.decrypt(nonce, body, _associated(place)).decode()
        except (InvalidTag, ValueError) as error:
            raise _broken(place, "It was changed, or sealed for another row.") from error

    def reseal(self, sealed: str, **place: Unpack[Place]) -> str:
        """Return the secret under the current key: unchanged when that key sealed it."""
        plain = self.open(sealed, **place)
        return sealed if sealed.split(".")[1] == self._current else self.seal(plain, **place)


def _associated(place: Place) -> bytes:
    parts = (place["table"], place["column"], place["row_id"], place["app_id"] or "")
    return "\0".join(str(part) for part in (VERSION, *parts)).encode()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    # Strict: a lenient decoder would accept many spellings of one secret.
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)


def _parsed(entry: str) -> tuple[str, bytes]:
    key_id, colon, encoded = entry.partition(":")
    if not colon or not _KEY_ID.fullmatch(key_id):
        raise _unusable("A key is written as id:base64, the id of letters, digits, - and _.")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise _unusable(f"Key {key_id} is not base64.") from error
    if len(key) != _KEY_BYTES:
        raise _unusable(f"Key {key_id} has {len(key)} bytes instead of {_KEY_BYTES}.")
    return key_id, key


def _unusable(why: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"The sealing keys in {_SETTING} cannot be used.",
        why=why,
        fix="`mailqueue init` writes a fresh key; `openssl rand -base64 32` makes one.",
        field=_SETTING,
    )


def _broken(place: Place, why: str) -> SealBroken:
    return SealBroken(
        f"The sealed {place['table']}.{place['column']} of row {place['row_id']} does not open.",
        why=why,
        fix=f"Put the key that sealed it back into {_SETTING}, or enter the secret again.",
        field=place["column"],
    )
