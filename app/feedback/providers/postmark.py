"""Events of Postmark: who may tell them (a password or a header), and what they say. Pure.

Postmark signs nothing: a webhook there has a login (HTTP basic) or headers of one's own.
https://postmarkapp.com/developer/webhooks/webhooks-overview
"""

import base64
import hmac
from collections.abc import Mapping
from typing import Any

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

SECRET_HEADER = "X-Mailqueue-Secret"  # noqa: S105 - the name of a header
_HARD, _SOFT, _BLOCK = BounceClass.HARD, BounceClass.SOFT, BounceClass.BLOCK
_NONE = BounceClass.NONE

BOUNCES = {
    "HardBounce": Meaning(class_=_HARD, why="Postmark calls it a hard bounce."),
    "BadEmailAddress": Meaning(class_=_HARD, why="Postmark says that it is no address."),
    "Transient": Meaning(class_=BounceClass.DELAYED, why="Postmark still tries."),
    "SoftBounce": Meaning(class_=_SOFT, why="Postmark calls it a soft bounce."),
    "DnsError": Meaning(class_=_SOFT, why="The recipient's domain could not be looked up."),
    "Unknown": Meaning(class_=_SOFT, why="It bounced, and Postmark does not know why."),
    "Undeliverable": Meaning(class_=_SOFT, why="It could not be delivered in time."),
    "Blocked": Meaning(class_=_BLOCK, why="The receiving server blocked it."),
    "SpamNotification": Meaning(class_=_BLOCK, why="The receiving server took it for spam."),
    "VirusNotification": Meaning(class_=_BLOCK, why="The receiving server took it for a virus."),
    "DMARCPolicy": Meaning(class_=_BLOCK, why="DMARC of the sender's domain forbade it."),
    "ManuallyDeactivated": Meaning(class_=_BLOCK, why="The address was switched off at Postmark."),
    "SMTPApiError": Meaning(class_=_BLOCK, why="Postmark did not take the mail."),
    "SpamComplaint": Meaning(
        class_=BounceClass.COMPLAINT, why="The recipient calls the mail spam."
    ),
    "Unsubscribe": Meaning(class_=BounceClass.UNSUBSCRIBE, why="The recipient asks to leave."),
    "AutoResponder": Meaning(class_=_NONE, why="A machine answered."),
    "ChallengeVerification": Meaning(class_=_NONE, why="A machine asks who wrote."),
    "AddressChange": Meaning(class_=_NONE, why="The recipient has a new address."),
    "Subscribe": Meaning(class_=_NONE, why="The recipient asks to join."),
}
_DELIVERED = Meaning(class_=BounceClass.DELIVERED, why="The recipient's server took it.")


def opened(headers: Mapping[str, str], body: bytes, secret: str) -> list[dict[str, Any]]:
    """Return the events of a request; raises Forbidden when it does not know the secret."""
    known = secret.encode()
    given = (_password(headers.get("authorization", "")), headers.get(SECRET_HEADER.lower(), ""))
    if not any(hmac.compare_digest(one.encode(), known) for one in given):
        raise refused()
    return objects([loaded(body)])


def _password(authorization: str) -> str:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def read(event: dict[str, Any]) -> ProviderEvent:
    """Return an event in our shape; never fails, whatever it is."""
    kind = text(event, "RecordType")
    address = text(event, "Email") or text(event, "Recipient")
    when = text(event, "DeliveredAt") or text(event, "ChangedAt") or text(event, "ReceivedAt")
    told = text(event, "ID") or when
    return ProviderEvent(
        key=key_of(event, text(event, "MessageID") and kind, text(event, "MessageID"), told),
        names=(text(event, "Metadata", "mailqueue"),),
        verdicts=(_verdict(event, kind, address),),
    )


def _verdict(event: dict[str, Any], kind: str, address: str) -> Verdict:
    match kind:
        case "Bounce" | "SpamComplaint":
            return _bounced(event, text(event, "Type") or kind, address)
        case "Delivery":
            return plain(address, _DELIVERED, "postmark.delivery")
        case "SubscriptionChange" if _is_leaving(event):
            return plain(address, BOUNCES["Unsubscribe"], "postmark.subscription-change")
        case _:
            return unread(f"The event {kind!r} of Postmark", address)


def _bounced(event: dict[str, Any], kind: str, address: str) -> Verdict:
    meaning = BOUNCES.get(kind, BOUNCES["Unknown"])
    told = plain(address, meaning, f"postmark.{kind.lower()}")
    is_failure = meaning.class_ in {_HARD, _SOFT, _BLOCK}
    return weighed(told, text(event, "Details")) if is_failure else told


def _is_leaving(event: dict[str, Any]) -> bool:
    """Tell whether the recipient left by Postmark's own link; bounces and complaints tell of themselves."""
    reason, origin = text(event, "SuppressionReason"), text(event, "Origin")
    is_wish = reason == "ManualSuppression" and origin == "Recipient"
    return event.get("SuppressSending") is True and is_wish
