"""What may be known of an address outside its own row: a keyed hash and a mask (TRUST.md)."""

import hmac


def address_hash(email: str, pepper: str) -> bytes:
    """Return 16 bytes of HMAC-SHA256 over the lower-cased address: joins logs and suppression.

    The pepper never changes, or suppression forgets everybody.
    """
    return hmac.digest(pepper.encode(), email.strip().lower().encode("utf-8", "replace"), "sha256")[
        :16
    ]


def masked(email: str) -> str:
    """Return the address as logs may show it: `u***@example.com`."""
    local, at, domain = email.rpartition("@")
    return f"{local[:1]}***@{domain}" if at else "***"
