"""Events of Mailgun: signed with HMAC-SHA256 over a time and a token, and what they say. Pure.

The signature does not cover the event. So the token is the event's key: it is remembered with the
stored event, and a second event under it is none; an old one is refused.
https://documentation.mailgun.com/docs/mailgun/user-manual/events/webhooks
"""

import datetime as dt
import hmac
from typing import Any

from app.feedback.providers.event import (
    Meaning,
    ProviderEvent,
    key_of,
    loaded,
    plain,
    refused,
    text,
    unread,
    weighed,
)
from app.mail.classify import Verdict
from app.mail.rules import BounceClass

OLDEST = dt.timedelta(hours=12)  # Mailgun repeats an event for eight hours
_AHEAD = dt.timedelta(minutes=5)

_UNSUBSCRIBED = Meaning(class_=BounceClass.UNSUBSCRIBE, why="The recipient asks to leave.")
FAILURES = {
    "bounce": Meaning(class_=BounceClass.HARD, why="Mailgun calls it a permanent failure."),
    "suppress-bounce": Meaning(class_=BounceClass.HARD, why="Mailgun knows that it bounces."),
    "suppress-complaint": Meaning(
        class_=BounceClass.UNSUBSCRIBE, why="The recipient called an earlier mail spam."
    ),
    "suppress-unsubscribe": _UNSUBSCRIBED,
    "old": Meaning(class_=BounceClass.SOFT, why="The time for delivery ran out."),
    "espblock": Meaning(class_=BounceClass.BLOCK, why="The receiving server blocked it."),
}
_FAILED = Meaning(class_=BounceClass.SOFT, why="It was not delivered; Mailgun does not say why.")
_DELAYED = Meaning(class_=BounceClass.DELAYED, why="Mailgun still tries.")
PLAIN = {
    "delivered": Meaning(class_=BounceClass.DELIVERED, why="The recipient's server took it."),
    "complained": Meaning(class_=BounceClass.COMPLAINT, why="The recipient calls the mail spam."),
    "unsubscribed": _UNSUBSCRIBED,
    "rejected": Meaning(class_=BounceClass.BLOCK, why="Mailgun did not take the mail."),
}


def opened(body: bytes, secret: str, now: dt.datetime) -> list[dict[str, Any]]:
    """Return the event of a request; raises Forbidden when the key did not sign it, or long ago."""
    found = loaded(body)
    stamp, token = text(found, "signature", "timestamp"), text(found, "signature", "token")
    right = hmac.digest(secret.encode(), f"{stamp}{token}".encode(), "sha256").hex()
    is_right = hmac.compare_digest(right.encode(), text(found, "signature", "signature").encode())
    if not is_right or not token or not _is_recent(stamp, now):
        raise refused()
    return [found]


def _is_recent(stamp: str, now: dt.datetime) -> bool:
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 10:
        return False
    age = now - dt.datetime.fromtimestamp(int(stamp), dt.UTC)
    return -_AHEAD <= age <= OLDEST


def read(event: dict[str, Any]) -> ProviderEvent:
    """Return an event in our shape; never fails, whatever it is."""
    data = event.get("event-data")
    return ProviderEvent(
        key=key_of(event, text(event, "signature", "token")),
        names=(
            text(data, "user-variables", "mailqueue"),
            text(data, "message", "headers", "message-id"),
            text(data, "envelope", "sender"),
        ),
        verdicts=(_verdict(data, text(data, "event"), text(data, "recipient")),),
    )


def _verdict(data: object, kind: str, address: str) -> Verdict:
    if kind == "failed":
        if text(data, "severity") == "temporary":
            return plain(address, _DELAYED, "mailgun.temporary")
        return _failed(data, text(data, "reason"), address)
    if kind in PLAIN:
        return plain(address, PLAIN[kind], f"mailgun.{kind}")
    return unread(f"The event {kind!r} of Mailgun", address)


def _failed(data: object, reason: str, address: str) -> Verdict:
    told = plain(address, FAILURES.get(reason, _FAILED), f"mailgun.{reason or 'failed'}")
    if reason.startswith("suppress-"):
        return told
    status = [text(data, "delivery-status", part) for part in ("code", "message", "description")]
    return weighed(
        told, " ".join(filter(None, status)), text(data, "delivery-status", "enhanced-code")
    )
