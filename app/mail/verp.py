"""Coded addresses that name one e-mail: return paths (VERP), reply and unsubscribe addresses.

`b+<id>.<mac>@domain` gets the bounces, `r+...` the replies, `unsubscribe+...` the wish to leave.
What comes to an address whose MAC does not verify suppresses nobody. Base32 in lower case, because
some hosts fold the local part of an address; at most 55 octets of the 64 (RFC 5321, 4.5.3.1.1).
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

_LOCAL = re.compile(r"(b|r|unsubscribe)\+([a-z2-7]{26})\.([a-z2-7]{16})", re.IGNORECASE | re.ASCII)
_PURPOSE = b"mailqueue verp 1"


class AddressUse(StrEnum):
    """What a coded address is for; the value is the start of its local part."""

    BOUNCE = "b"
    REPLY = "r"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedAddress:
    """What a coded address says, once its MAC has been verified."""

    use: AddressUse
    email_id: UUID


def coded_address(use: AddressUse, email_id: UUID, key: bytes, domain: str) -> str:
    """Return the address of one e-mail for one use."""
    raw = email_id.bytes
    return f"{use}+{_text(raw)}.{_mac(use, raw, key)}@{domain}"


def read_coded_address(address: str, keys: Sequence[bytes]) -> CodedAddress | None:
    """Return what an address says, or None when it is none of ours or no key has signed it."""
    found = _LOCAL.fullmatch(address.rpartition("@")[0])
    if found is None:
        return None
    use = AddressUse(found[1].lower())
    try:
        raw = base64.b32decode(found[2].upper() + "======")
    except binascii.Error:
        return None
    if _text(raw) != found[2].lower():  # 130 bits spell 128: only one spelling is ours
        return None
    given = found[3].lower()
    matches = [hmac.compare_digest(_mac(use, raw, key), given) for key in keys]
    return CodedAddress(use=use, email_id=UUID(bytes=raw)) if any(matches) else None


def return_path(email_id: UUID, key: bytes, domain: str) -> str:
    """Return the envelope sender of one e-mail; 45 characters before the @."""
    return coded_address(AddressUse.BOUNCE, email_id, key, domain)


def read_return_path(address: str, keys: Sequence[bytes]) -> UUID | None:
    """Return the e-mail a return path names, or None when no key has signed it."""
    coded = read_coded_address(address, keys)
    return coded.email_id if coded and coded.use is AddressUse.BOUNCE else None


def _mac(use: AddressUse, raw: bytes, key: bytes) -> str:
    # A return path that went out before the other uses existed stays valid.
    purpose = _PURPOSE if use is AddressUse.BOUNCE else _PURPOSE + f" {use} ".encode()
    return _text(hmac.digest(key, purpose + raw, "sha256")[:10])


def _text(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()
