"""Signing what is sent to a webhook: Standard Webhooks, and seed 003's headers beside it. Pure.

    webhook-id, webhook-timestamp       the delivery's id, the same over all tries; seconds
    webhook-signature                   v1,<base64 HMAC-SHA256 of "id.timestamp.body">
    X-Webhook-Timestamp                 the same seconds
    X-Webhook-Signature                 sha256=<hex HMAC-SHA256 of "timestamp.body">

The key of the first is what stands in base64 behind `whsec_`, that of the second the whole text of
the secret. While a secret rotates both headers carry two signatures, the new one first: separated
by a space in the first, by a comma in the second.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

from app.errors import InputInvalid

PREFIX = "whsec_"
_KEY_BYTES = 32


def new_secret() -> str:
    """Return a fresh secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the bytes of a secret's key; raises InputInvalid."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unusable() from error
    if not secret.startswith(PREFIX) or len(key) < 24:
        raise _unusable()
    return key


def headers(message_id: str, timestamp_s: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Return the headers that prove a body; `keys` are the secrets valid now, newest first."""
    standard = f"{message_id}.{timestamp_s}.".encode() + body
    seed = f"{timestamp_s}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(_standard(key, standard) for key in keys),
        "X-Webhook-Timestamp": str(timestamp_s),
        "X-Webhook-Signature": ",".join(_seed(key, seed) for key in keys),
    }


def _standard(secret: str, content: bytes) -> str:
    digest = hmac.digest(key_of(secret), content, "sha256")
    return "v1," + base64.b64encode(digest).decode()


def _seed(secret: str, content: bytes) -> str:
    return "sha256=" + hmac.digest(secret.encode(), content, "sha256").hex()


def _unusable() -> InputInvalid:
    return InputInvalid(
        "The webhook's secret cannot be used.",
        why=f"It is not {PREFIX} and at least 24 bytes in base64.",
        fix="Rotate the secret.",
        field="secret",
    )
