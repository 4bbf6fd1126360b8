"""What an answer means for the mail its address names, decided before anything is written. Pure.

The address proves which mail is meant (its MAC held); everything inside the answer is a claim. A
bounce counts at a return path only: reply and unsubscribe addresses are printed in the mail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.mail import auto_reply
from app.mail.answer import Answer, AnswerKind
from app.mail.classify import Verdict
from app.mail.rules import BounceClass
from app.mail.verp import AddressUse


class Effect(StrEnum):
    """What follows from an answer."""

    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCE = "soft_bounce"
    BLOCK = "block"
    COMPLAINT = "complaint"
    DELIVERED = "delivered"
    DELAYED = "delayed"
    UNSUBSCRIBE = "unsubscribe"
    REPLY = "reply"
    ABSENCE = "absence"  # out of office: the sequence waits
    AUTO_REPLY = "auto_reply"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The effect of one answer, the verdict it follows from, and a remark where rules met."""

    effect: Effect
    verdict: Verdict
    remark: str = ""

    def data(self) -> dict[str, Any]:
        """Return what timelines and inbound_messages.classification keep of it."""
        found = {
            "effect": str(self.effect),
            "class": str(self.verdict.class_),
            "status": self.verdict.status,
            "rule": self.verdict.rule,
            "explanation": self.verdict.explanation,
        }
        more = {"remark": self.remark, "sender_sign": self.verdict.sender_sign}
        return found | {name: value for name, value in more.items() if value}


_BY_CLASS = {
    BounceClass.HARD: Effect.HARD_BOUNCE,
    BounceClass.SOFT: Effect.SOFT_BOUNCE,
    BounceClass.BLOCK: Effect.BLOCK,
    BounceClass.COMPLAINT: Effect.COMPLAINT,
    BounceClass.UNSUBSCRIBE: Effect.UNSUBSCRIBE,
    BounceClass.DELIVERED: Effect.DELIVERED,
    BounceClass.DELAYED: Effect.DELAYED,
    BounceClass.AUTO_REPLY: Effect.NOTHING,
    BounceClass.NONE: Effect.NOTHING,
}
_FIRST_HAND = frozenset({Effect.HARD_BOUNCE, Effect.COMPLAINT})


def find(answer: Answer, use: AddressUse, to_email: str) -> Finding:
    """Return what an answer at an address of this `use` means for the mail to `to_email`."""
    match answer.kind:
        case AnswerKind.BOUNCE:
            return _bounce(answer, use, to_email)
        case AnswerKind.COMPLAINT:
            return _complaint(answer)
        case AnswerKind.AUTO_REPLY:
            return _automatic(answer)
        case AnswerKind.UNSUBSCRIBE | AnswerKind.REPLY:
            return _person(answer, use)


def of_event(verdicts: Sequence[Verdict], to_email: str) -> Finding:
    """Return what a provider's event means for the mail to `to_email` that it names."""
    for verdict in verdicts:
        if not verdict.address or _is_same(verdict.address, to_email):
            return Finding(effect=_BY_CLASS[verdict.class_], verdict=verdict)
    remark = "It speaks of another address than the mail's recipient."
    return Finding(effect=Effect.NOTHING, verdict=verdicts[0], remark=remark)


def _bounce(answer: Answer, use: AddressUse, to_email: str) -> Finding:
    same = [one for one in answer.verdicts if _is_same(one.address, to_email)]
    verdict = (same or list(answer.verdicts))[0]
    effect = _BY_CLASS[verdict.class_]
    if use is not AddressUse.BOUNCE:
        remark = "A bounce at an address that is no return path: anybody may have written it."
        return Finding(effect=Effect.NOTHING, verdict=verdict, remark=remark)
    if same or not verdict.address:
        return Finding(effect=effect, verdict=verdict)
    if len(answer.verdicts) > 1:
        remark = "It speaks of several other addresses: the mail was passed on, to a list perhaps."
        return Finding(effect=Effect.NOTHING, verdict=verdict, remark=remark)
    remark = "It speaks of another address, to which the mail was passed on."
    softened = Effect.SOFT_BOUNCE if effect in _FIRST_HAND else effect
    return Finding(effect=softened, verdict=verdict, remark=remark)


def _is_same(address: str, to_email: str) -> bool:
    return address.strip().casefold() == to_email.strip().casefold()


def _complaint(answer: Answer) -> Finding:
    worst = [one for one in answer.verdicts if one.class_ is BounceClass.COMPLAINT]
    verdict = (worst or list(answer.verdicts))[0]
    return Finding(effect=_BY_CLASS[verdict.class_], verdict=verdict)


def _automatic(answer: Answer) -> Finding:
    verdict = answer.verdicts[0]
    if verdict.class_ is BounceClass.DELIVERED:
        return Finding(effect=Effect.DELIVERED, verdict=verdict)
    is_away = auto_reply.has_vacation_subject(answer.message.headers)
    return Finding(effect=Effect.ABSENCE if is_away else Effect.AUTO_REPLY, verdict=verdict)


def _person(answer: Answer, use: AddressUse) -> Finding:
    verdict = answer.verdicts[0]
    if answer.kind is AnswerKind.UNSUBSCRIBE or use is AddressUse.UNSUBSCRIBE:
        return Finding(effect=Effect.UNSUBSCRIBE, verdict=verdict)
    if verdict.rule == "unreadable":
        return Finding(effect=Effect.NOTHING, verdict=verdict)
    return Finding(effect=Effect.REPLY, verdict=verdict)
