"""Variable envelope return paths: `b+<id>.<mac>@domain` names the e-mail a bounce is about.

A bounce whose MAC does not verify suppresses nobody. Base32 in lower case, because some hosts fold
the local part of an address.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from uuid import UUID

_LOCAL = re.compile(r"b\+([a-z2-7]{26})\.([a-z2-7]{16})", re.IGNORECASE)
_PURPOSE = b"mailqueue verp 1"


def return_path(email_id: UUID, key: bytes, domain: str) -> str:
    """Return the envelope sender of one e-mail; 45 characters before the @."""
    return f"b+{_text(email_id.bytes)}.{_mac(email_id.bytes, key)}@{domain}"


def read_return_path(address: str, keys: Sequence[bytes]) -> UUID | None:
    """Return the e-mail a return path names, or None when no key has signed it."""
    found = _LOCAL.fullmatch(address.rpartition("@")[0])
    if found is None:
        return None
    try:
        raw = base64.b32decode(found[1].upper() + "======")
    except binascii.Error:
        return None
    if _text(raw) != found[1].lower():  # 130 bits spell 128: only one spelling is ours
        return None
    given = found[2].lower()
    matches = [hmac.compare_digest(_mac(raw, key), given) for key in keys]
    return UUID(bytes=raw) if any(matches) else None


def _mac(raw: bytes, key: bytes) -> str:
    return _text(hmac.digest(key, _PURPOSE + raw, "sha256")[:10])


def _text(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()
