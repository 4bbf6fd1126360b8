"""inbound: what came back changes what is sent next. Each mail, each event is worked off once.

One transaction per row: the row is taken, its effects are written, and it is settled. A job that
comes twice finds nothing to take; a job that was lost is published again by the sweeper.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

from actors import runtime
from actors.declare import stage_actor, tick_actor
from actors.waiting import patiently
from app import metrics
from app.campaigns import sequence
from app.clock import utc_now
from app.db.session import Session
from app.feedback import (
    bounces,
    complaints,
    findings,
    mails,
    messages,
    replies,
    reports,
    unsubscribes,
)
from app.feedback import erasure as answers
from app.feedback.findings import Effect, Finding
from app.feedback.mails import Mail
from app.feedback.messages import Inbound, Settled
from app.feedback.providers.event import Provider, ProviderEvent
from app.feedback.providers.reading import read_stored
from app.lifecycle import erasure as mails_erased
from app.lifecycle.states import State
from app.log import Event, logger
from app.mail.answer import Answer, AnswerKind, read_answer
from app.mail.classify import Verdict
from app.mail.rules import BounceClass
from app.mail.verp import AddressUse, CodedAddress
from app.policy.suppression import Reason
from app.queueing.payloads import InboundPayload, TickPayload
from app.queueing.steps import INBOUND, MAINTENANCE
from app.redaction import ERASED

_OVERDUE_S = 15  # doubled with each time a job is published again
_MOST_TRIES = 12
_WAITS_FOR_OUTCOME = 8  # the outcome of the mail itself is recorded within an hour or never
_AT_ONCE = 2_000

_KINDS = {
    AnswerKind.BOUNCE: "bounce",
    AnswerKind.COMPLAINT: "complaint",
    AnswerKind.REPLY: "reply",
    AnswerKind.UNSUBSCRIBE: "unsubscribe",
    AnswerKind.AUTO_REPLY: "other",
}
_EVENT_KINDS = {
    BounceClass.COMPLAINT: "complaint",
    BounceClass.UNSUBSCRIBE: "unsubscribe",
    BounceClass.NONE: "other",
}
_BOUNCED = {Effect.HARD_BOUNCE, Effect.SOFT_BOUNCE, Effect.BLOCK}
_NO_MAIL = "It names no mail of this app."
_DELETED = "Its mail was deleted before."
_UNPROVEN = "It proves no mail to be ours that it complains about: nobody is suppressed."
_REPORTS = _BOUNCED | {Effect.DELIVERED, Effect.DELAYED}


def work_off(payload: InboundPayload) -> None:
    """Work off stored mails; PostgreSQL being away is waited out."""
    for message_id in payload.message_ids:
        done = patiently(partial(_work_off_one, message_id))
        if done:
            metrics.INBOUND.labels(done["source"], done["effect"]).inc()
            logger().info(Event.INBOUND_PROCESSED, inbound_id=str(message_id), **done)


def _work_off_one(message_id: UUID, session: Session) -> dict[str, Any]:
    with session.transaction():
        inbound = messages.take(session, message_id)
        if inbound is None:
            return {}
        if inbound.provider is not None:
            return _work_off_event(session, inbound, inbound.provider)
        return _work_off_mail(session, inbound)


def _work_off_mail(session: Session, inbound: Inbound) -> dict[str, Any]:
    answer = read_answer(inbound.raw)
    mail = _mail_of(session, inbound, answer)
    if mail is None:
        why = _DELETED if inbound.email_id else _UNPROVEN
        messages.settle(session, inbound.id, _of_nobody(answer, why))
        return {"source": "mail", "effect": Effect.NOTHING, "why": why}
    if _is_too_early(mail, inbound):
        return {}
    finding = findings.find(answer, _use_of(inbound, mail), mail.to_email)
    mails.prove_sent(session, mail)
    _apply(session, mail, finding, answer)
    messages.settle(session, inbound.id, _settled(answer, finding))
    _forget_words(session, mail)
    return _told("mail", mail, finding)


def _work_off_event(session: Session, inbound: Inbound, provider: Provider) -> dict[str, Any]:
    event = read_stored(provider, inbound.raw)
    mail = mails.find(session, inbound.email_id) if inbound.email_id else None
    if mail is None:
        why = _DELETED if inbound.email_id else _NO_MAIL
        messages.settle(session, inbound.id, _of_no_mail(event, why))
        return {"source": provider, "effect": Effect.NOTHING, "why": why}
    if _is_too_early(mail, inbound):
        return {}
    finding = findings.of_event(event.verdicts, mail.to_email)
    mails.prove_sent(session, mail)
    _report(session, mail, finding, by=provider)
    messages.settle(session, inbound.id, _settled_event(event, finding))
    _forget_words(session, mail)
    return _told(provider, mail, finding)


def _forget_words(session: Session, mail: Mail) -> None:
    """Erase an answer that came after its person was erased: its effects stay, its words do not."""
    if mail.to_email == ERASED:
        answered = answers.erase(session, mail.app_id, [mail.id], mail.to_email)
        mails_erased.erase(session, [mail.id], answered)


def _told(source: str, mail: Mail, finding: Finding) -> dict[str, Any]:
    told = {"email_id": str(mail.id), "effect": finding.effect, "rule": finding.verdict.rule}
    return {"source": source} | told


def _mail_of(session: Session, inbound: Inbound, answer: Answer) -> Mail | None:
    """Return the mail an answer is about: as its address says, or as a feedback report proves."""
    if inbound.email_id is not None:
        return mails.find(session, inbound.email_id)
    coded = runtime.coded_domain()
    mail = reports.find_mail(session, inbound.raw, answer, coded) if coded else None
    if mail is not None:
        messages.assign(session, inbound.id, mail)
    return mail


def _is_too_early(mail: Mail, inbound: Inbound) -> bool:
    """Tell whether the answer was faster than the note that the mail was sent: it comes again."""
    return mail.state is State.SENDING and inbound.tries < _WAITS_FOR_OUTCOME


def _use_of(inbound: Inbound, mail: Mail) -> AddressUse:
    """Return what the address is for; its MAC is verified once more, where it matters.

    A mailbox has one address for everything: there a report is proved by the id of our mail in it.
    """
    coded = runtime.coded_domain()
    said = coded.read(inbound.recipient) if coded else None
    if said == CodedAddress(use=AddressUse.BOUNCE, email_id=mail.id):
        return AddressUse.BOUNCE
    if inbound.is_from_mailbox and said is None:
        return AddressUse.BOUNCE
    is_leaving = inbound.recipient.lower().startswith(f"{AddressUse.UNSUBSCRIBE}+")
    return AddressUse.UNSUBSCRIBE if is_leaving else AddressUse.REPLY


def _apply(session: Session, mail: Mail, finding: Finding, answer: Answer) -> None:
    """Write what follows from an answer, and let sequences hear of it."""
    now = utc_now()
    match finding.effect:
        case Effect.REPLY:
            replies.record(session, mail, finding, answer, now)
            sequence.stop_lead(session, mail.app_id, mail.to_hash, "reply")
        case Effect.ABSENCE | Effect.AUTO_REPLY:
            replies.record_automatic(session, mail, finding, answer, now)
            if finding.effect is Effect.ABSENCE:
                until = now + replies.ABSENT_FOR
                sequence.delay_lead(session, mail.app_id, mail.to_hash, until)
        case _:
            _report(session, mail, finding, by="mail")


def _report(session: Session, mail: Mail, finding: Finding, *, by: str) -> None:
    """Write what follows from a report of delivery, a complaint or a wish to leave."""
    now = utc_now()
    reason: Reason | None = None
    if finding.effect in _REPORTS:
        reason = bounces.record(session, mail, finding, now)
    elif finding.effect is Effect.COMPLAINT:
        reason = complaints.record(session, mail, finding, now)
    elif finding.effect is Effect.UNSUBSCRIBE:
        reason = unsubscribes.record(session, mail, finding, now, by)
    if reason is not None:
        sequence.stop_lead(session, mail.app_id, mail.to_hash, str(reason))


def _settled(answer: Answer, finding: Finding) -> Settled:
    return _summary(answer, finding.data(), is_ignored=finding.effect is Effect.NOTHING)


def _of_nobody(answer: Answer, remark: str) -> Settled:
    return _summary(answer, {"remark": remark}, is_ignored=True)


def _settled_event(event: ProviderEvent, finding: Finding) -> Settled:
    return _event_summary(event, finding.data(), is_ignored=finding.effect is Effect.NOTHING)


def _of_no_mail(event: ProviderEvent, remark: str) -> Settled:
    return _event_summary(event, {"remark": remark}, is_ignored=True)


def _event_summary(event: ProviderEvent, found: dict[str, Any], *, is_ignored: bool) -> Settled:
    return Settled(
        kind=_EVENT_KINDS.get(event.verdicts[0].class_, "bounce"),
        is_ignored=is_ignored,
        classification=found | {"recipients": _recipients(event.verdicts)},
    )


def _recipients(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    return [
        {
            "address": one.address,
            "class": str(one.class_),
            "status": one.status,
            "rule": one.rule,
        }
        for one in verdicts[:20]
    ]


def _summary(answer: Answer, found: dict[str, Any], *, is_ignored: bool) -> Settled:
    headers = answer.message.headers
    return Settled(
        kind=_KINDS[answer.kind],
        is_ignored=is_ignored,
        subject=headers.first("subject"),
        message_id=headers.first("message-id").strip(),
        classification=found
        | {
            "recipients": _recipients(answer.verdicts),
            "answers": list(answer.original_ids[:10]),
        },
    )


def sweep_inbound(payload: TickPayload) -> None:
    """Publish again what nobody has worked off, a little later each time."""
    del payload
    session = runtime.session()
    found = messages.overdue(session, after_s=_OVERDUE_S, most=_MOST_TRIES, limit=_AT_ONCE)
    if found:
        runtime.publisher().publish(messages.jobs(found))
        logger().warning(Event.INBOUND_REPUBLISHED, messages=len(found))


stage_actor(INBOUND, None, work_off, InboundPayload)
tick_actor(MAINTENANCE, sweep_inbound)
