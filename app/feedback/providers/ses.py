"""Events of Amazon SES, as SNS hands them on: of an identity or of a configuration set. Pure.

https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html, event-publishing-retrieving-sns-contents.html
"""

from typing import Any

from app.feedback.providers.event import (
    Meaning,
    ProviderEvent,
    at,
    key_of,
    listed,
    objects,
    plain,
    text,
    unread,
    weighed,
)
from app.mail.classify import Verdict
from app.mail.rules import BounceClass

_HARD, _SOFT, _BLOCK = BounceClass.HARD, BounceClass.SOFT, BounceClass.BLOCK

BOUNCES = {
    ("Permanent", "General"): Meaning(class_=_HARD, why="SES calls it a permanent bounce."),
    ("Permanent", "NoEmail"): Meaning(class_=_HARD, why="SES says that there is no such mailbox."),
    ("Permanent", "Suppressed"): Meaning(
        class_=_HARD, why="It bounced so often before that SES tries no more."
    ),
    ("Permanent", "OnAccountSuppressionList"): Meaning(
        class_=_HARD, why="It is on your suppression list at SES."
    ),
    ("Transient", "General"): Meaning(class_=_SOFT, why="SES calls it a temporary bounce."),
    ("Transient", "MailboxFull"): Meaning(class_=_SOFT, why="SES says that the mailbox is full."),
    ("Transient", "MessageTooLarge"): Meaning(class_=_SOFT, why="The mail is too big."),
    ("Transient", "ContentRejected"): Meaning(class_=_BLOCK, why="The content was refused."),
    ("Transient", "AttachmentRejected"): Meaning(class_=_BLOCK, why="An attachment was refused."),
}
_UNDECIDED = Meaning(class_=_SOFT, why="It bounced, and SES does not say why.")
_COMPLAINT = Meaning(class_=BounceClass.COMPLAINT, why="The recipient calls the mail spam.")
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure"})
_DELIVERED = Meaning(class_=BounceClass.DELIVERED, why="The recipient's server took it.")
_DELAYED = Meaning(class_=BounceClass.DELAYED, why="SES still tries: a delay is no bounce.")
_REJECTED = Meaning(class_=_BLOCK, why="SES refused to send it: it found a virus.")
_LEFT = Meaning(class_=BounceClass.UNSUBSCRIBE, why="The recipient left every list at SES.")


def read(event: dict[str, Any]) -> ProviderEvent:
    """Return an event in our shape; never fails, whatever it is."""
    kind = text(event, "eventType") or text(event, "notificationType")
    detail = kind[:1].lower() + kind[1:]
    told = text(event, detail, "feedbackId") or text(event, detail, "timestamp")
    return ProviderEvent(
        key=key_of(event, text(event, "mail", "messageId"), kind, told),
        names=_names(event),
        verdicts=tuple(_verdicts(event, kind)) or (unread(f"The event {kind!r} of SES"),),
    )


def _names(event: dict[str, Any]) -> tuple[str, ...]:
    headers = objects(listed(event, "mail", "headers"))
    ids = [text(one, "value") for one in headers if text(one, "name").lower() == "message-id"]
    return (
        text(event, "mail", "tags", "mailqueue", 0),
        *ids,
        text(event, "mail", "commonHeaders", "messageId"),
        text(event, "mail", "source"),
    )


def _verdicts(event: dict[str, Any], kind: str) -> list[Verdict]:
    match kind:
        case "Bounce":
            return _bounced(event)
        case "Complaint":
            return _complained(event)
        case _:
            meaning, rule, people = _plainly(event, kind)
            return [plain(one, meaning, rule) for one in people] if meaning else []


_Plainly = tuple[Meaning | None, str, list[str]]


def _plainly(event: dict[str, Any], kind: str) -> _Plainly:
    """Return what an event says of all of its recipients alike; no meaning for what is not read."""
    match kind:
        case "Delivery":
            return _DELIVERED, "ses.delivery", _addresses(event, "delivery", "recipients")
        case "DeliveryDelay":
            late = objects(listed(event, "deliveryDelay", "delayedRecipients"))
            return _DELAYED, "ses.delay", [text(one, "emailAddress") for one in late]
        case "Reject":
            return _REJECTED, "ses.reject", _addresses(event, "mail", "destination")
        case "Subscription" if _is_leaving(event):
            return _LEFT, "ses.subscription", _addresses(event, "mail", "destination")
        case _:
            return None, "", []


def _bounced(event: dict[str, Any]) -> list[Verdict]:
    types = text(event, "bounce", "bounceType"), text(event, "bounce", "bounceSubType")
    meaning = BOUNCES.get(types) or BOUNCES.get((types[0], "General"), _UNDECIDED)
    rule = f"ses.{'.'.join(types).lower()}"
    return [
        weighed(
            plain(text(one, "emailAddress"), meaning, rule),
            text(one, "diagnosticCode"),
            text(one, "status"),
        )
        for one in objects(listed(event, "bounce", "bouncedRecipients"))
    ]


def _complained(event: dict[str, Any]) -> list[Verdict]:
    kind = text(event, "complaint", "complaintFeedbackType")
    people = objects(listed(event, "complaint", "complainedRecipients"))
    if kind in _NO_COMPLAINT:
        what = f"A feedback report of type {kind}"
        return [unread(what, text(one, "emailAddress")) for one in people]
    return [plain(text(one, "emailAddress"), _COMPLAINT, "ses.complaint") for one in people]


def _addresses(event: dict[str, Any], *path: str) -> list[str]:
    return [text(one) for one in listed(event, *path) if isinstance(one, str)]


def _is_leaving(event: dict[str, Any]) -> bool:
    return at(event, "subscription", "newTopicPreferences", "unsubscribeAll") is True
