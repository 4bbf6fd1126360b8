"""Events of SendGrid: batches signed with ECDSA (Signed Event Webhook), and what they say. Pure.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import base64
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from app.errors import InputInvalid
from app.feedback.providers.event import (
    Meaning,
    ProviderEvent,
    key_of,
    loaded,
    objects,
    plain,
    refused,
    text,
    unread,
    weighed,
)
from app.mail.classify import Verdict
from app.mail.rules import BounceClass

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"

BOUNCES = {
    "bounce": Meaning(class_=BounceClass.HARD, why="SendGrid calls it a hard bounce."),
    "blocked": Meaning(class_=BounceClass.BLOCK, why="SendGrid says that it was blocked."),
}
_UNSUBSCRIBED = Meaning(class_=BounceClass.UNSUBSCRIBE, why="The recipient asks to leave.")
_REFUSED = Meaning(class_=BounceClass.BLOCK, why="SendGrid did not send it.")
# Nothing was sent: SendGrid knows the address from earlier mails.
DROPS = {
    "bounced address": Meaning(class_=BounceClass.HARD, why="SendGrid knows that it bounces."),
    "unsubscribed address": _UNSUBSCRIBED,
    "spam reporting address": Meaning(
        class_=BounceClass.UNSUBSCRIBE, why="The recipient called an earlier mail spam."
    ),
    "invalid": Meaning(class_=BounceClass.HARD, why="SendGrid says that it is no address."),
}
PLAIN = {
    "delivered": Meaning(class_=BounceClass.DELIVERED, why="The recipient's server took it."),
    "deferred": Meaning(class_=BounceClass.DELAYED, why="SendGrid still tries."),
    "spamreport": Meaning(class_=BounceClass.COMPLAINT, why="The recipient calls the mail spam."),
    "unsubscribe": _UNSUBSCRIBED,
    "group_unsubscribe": _UNSUBSCRIBED,
}


def public_key(text_: str) -> EllipticCurvePublicKey:
    """Return the verification key as SendGrid shows it (base64 of DER); raises InputInvalid."""
    try:
        key = load_der_public_key(base64.b64decode(text_, validate=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key() from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise _no_key()
    return key


def opened(headers: Mapping[str, str], body: bytes, secret: str) -> list[dict[str, Any]]:
    """Return the events of a request; raises Forbidden when the key did not sign it."""
    try:
        signature = base64.b64decode(headers.get(SIGNATURE, ""), validate=True)
        signed = headers.get(TIMESTAMP, "").encode() + body
        public_key(secret).verify(signature, signed, ECDSA(SHA256()))
    except (ValueError, InvalidSignature) as error:
        raise refused() from error
    found = loaded(body)
    return objects(found if isinstance(found, list) else [found])


def read(event: dict[str, Any]) -> ProviderEvent:
    """Return an event in our shape; never fails, whatever it is."""
    return ProviderEvent(
        key=key_of(event, text(event, "sg_event_id")),
        names=(text(event, "mailqueue"), text(event, "smtp-id")),
        verdicts=(_verdict(event, text(event, "event"), text(event, "email")),),
    )


def _verdict(event: dict[str, Any], kind: str, address: str) -> Verdict:
    reason = text(event, "reason")
    if kind == "bounce":
        type_ = text(event, "type")
        told = plain(address, BOUNCES.get(type_, BOUNCES["blocked"]), f"sendgrid.{type_ or kind}")
        return weighed(told, reason, text(event, "status"))
    if kind == "dropped":
        return plain(address, DROPS.get(reason.lower(), _REFUSED), "sendgrid.dropped")
    if kind in PLAIN:
        return plain(address, PLAIN[kind], f"sendgrid.{kind}")
    return unread(f"The event {kind!r} of SendGrid", address)


def _no_key() -> InputInvalid:
    return InputInvalid(
        "This is no verification key of SendGrid.",
        why="It is base64 of an ECDSA public key.",
        fix="Copy it from Mail Settings, Event Webhooks, Signed Event Webhook.",
        field="secret",
    )
