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
from itertools import islice
from uuid import UUID

from app.errors import ConfigurationInvalid

_LOCAL = re.compile(r"(b|r|unsubscribe)\+([a-z2-7]{26})\.([a-z2-7]{16})", re.IGNORECASE | re.ASCII)
_MESSAGE_ID = re.compile(r"([0-9a-f]{32})@[^\s@]{1,255}", re.IGNORECASE)
_DOMAIN = re.compile(
    r"(?=.{1,190}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
_MOST_TRIED = 200
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [one + other for one in _LETTERS for other in _LETTERS]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedDomain:
    """The domain of coded addresses and its keys, oldest first: the newest signs, every one opens.

    The keys may be those of other tokens: what is signed here starts with a purpose of its own.
    """

    domain: str
    keys: tuple[bytes, ...]

    def address(self, use: AddressUse, email_id: UUID) -> str:
        """Return the address of one e-mail for one use."""
        return coded_address(use, email_id, self.keys[-1], self.domain)

    def is_ours(self, address: str) -> bool:
        """Tell whether an address is in the domain, whatever stands before the @."""
        return address.rpartition("@")[2].lower() == self.domain

    def read(self, address: str) -> CodedAddress | None:
        """Return what an address of the domain says; None when it says nothing that holds."""
        return read_coded_address(address, self.keys) if self.is_ours(address) else None

    def first_in(self, text: str) -> CodedAddress | None:
        """Return what the first address of the domain in a text says whose MAC holds, if any.

        Of a text with very many such addresses only the first ones are looked at.
        """
        spelled = re.compile(rf"{_LOCAL.pattern}@{re.escape(self.domain)}(?![\w.-])", _LOCAL.flags)
        said = (self.read(found[0]) for found in islice(spelled.finditer(text), _MOST_TRIED))
        return next((coded for coded in said if coded is not None), None)


def coded_domain(domain: str, keys: str) -> CodedDomain | None:
    """Return the domain as the settings name it, None without one; `keys` comma-separated.

    Raises ConfigurationInvalid for a domain that cannot stand in an address, and without a key.
    """
    name = domain.strip().lower()
    if not name:
        return None
    parts = tuple(key.strip().encode() for key in keys.split(",") if key.strip())
    if _DOMAIN.fullmatch(name) is None or not parts:
        raise ConfigurationInvalid(
            f"The inbound domain {domain[:80]!r} cannot be used.",
            why="It is no domain name in ASCII, or there is no key to sign its addresses with.",
            fix="Set MAILQUEUE_INBOUND_DOMAIN as in bounces.example.com, and MAILQUEUE_TRACKING_KEYS.",
            field="inbound_domain",
        )
    return CodedDomain(domain=name, keys=parts)


def named_by(message_id: str) -> UUID | None:
    """Return the e-mail that a Message-ID of ours names; None for any other. Nothing is signed."""
    found = _MESSAGE_ID.fullmatch(message_id.strip().removeprefix("<").removesuffix(">"))
    return UUID(found[1]) if found else None


def _mac(use: AddressUse, raw: bytes, key: bytes) -> str:
    # A return path that went out before the other uses existed stays valid.
    purpose = _PURPOSE if use is AddressUse.BOUNCE else _PURPOSE + f" {use} ".encode()
    return _text(hmac.digest(key, purpose + raw, "sha256")[:10])


def _text(raw: bytes) -> str:
    """Return base32 (RFC 4648) of 10 or 16 bytes, in lower case without padding.

    Two letters at a time: each mail has up to three coded addresses, and b32encode takes 3 times as
    long.
    """
    size = len(raw) * 8
    number = int.from_bytes(raw) << (-size % 10)
    return "".join(
        [_PAIRS[number >> place & 1023] for place in range((size - 1) // 10 * 10, -1, -10)]
    )
