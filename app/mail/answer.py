"""What a mail that comes back is: a bounce, a complaint, an answer of a machine or of a person.

Complaints and receipts are known by their fields, bounces by app/mail/bounce.py; what is left was
written by a machine or by a person.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from app.mail import arf, auto_reply
from app.mail.bounce import read_bounce
from app.mail.classify import Evidence, Verdict, classify
from app.mail.dsn import Action
from app.mail.layout import Layout, lay_out
from app.mail.message import Message, read_headers
from app.mail.recipient import recipient_of
from app.mail.rules import BounceClass
from app.mail.thread import Written, read_thread, split_quotes, text_of_parts
from app.mail.unsubscribe import wants_to_leave

# A delivery agent or a filter that refuses a mail it already took says so in a receipt (RFC 5429).
_REJECTED = re.compile(r"automatic-action.{0,60}(?:deleted|denied|failed|error)", re.IGNORECASE)


class AnswerKind(StrEnum):
    """What came back."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto-reply"
    UNSUBSCRIBE = "unsubscribe"
    REPLY = "reply"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One mail that came back, read.

    `verdicts` has one entry per recipient it speaks of, and at least one. `original_ids` are the
    Message-IDs of the mails it returns or answers, nearest first; `envelope_id` is our ENVID, when
    a report carries it. All of these are the sender's claims: only a return path's MAC proves them.
    """

    kind: AnswerKind
    verdicts: tuple[Verdict, ...]
    message: Message
    written: Written
    original_ids: tuple[str, ...]
    envelope_id: str = ""


def read_answer(raw: bytes) -> Answer:
    """Read a mail that came back; never fails, whatever it is."""
    seen = lay_out(raw)
    kind, verdicts, envelope_id = _read(seen)
    written = split_quotes(text_of_parts(seen.message.parts))
    ids = [one for headers in seen.returned for one in [read_thread(headers).message_id] if one]
    ids += read_thread(seen.headers).ancestors
    return Answer(
        kind=kind,
        verdicts=tuple(verdicts),
        message=seen.message,
        written=written,
        original_ids=tuple(dict.fromkeys(ids)),
        envelope_id=envelope_id,
    )


def _read(seen: Layout) -> tuple[AnswerKind, list[Verdict], str]:
    """Return what the mail is, its verdicts and the ENVID it names."""
    if (complaint := arf.read_complaint(seen.message, seen.returned)) is not None:
        return AnswerKind.COMPLAINT, _complaints(seen, complaint), ""
    if receipt := _receipt(seen):
        is_read = receipt[0].class_ is BounceClass.DELIVERED
        return AnswerKind.AUTO_REPLY if is_read else AnswerKind.BOUNCE, receipt, ""
    if (bounce := read_bounce(seen)) is not None:
        verdicts, envelope_id = bounce
        return AnswerKind.BOUNCE, verdicts, envelope_id
    return *_written_by_someone(seen), ""


def _complaints(seen: Layout, complaint: arf.Complaint) -> list[Verdict]:
    who = complaint.recipients or (seen.sender,)
    if complaint.is_complaint:
        why = f"A feedback report of type {complaint.feedback_type} (RFC 5965)."
        return [_plain(one, BounceClass.COMPLAINT, "arf.complaint", why) for one in who]
    why = f"A feedback report of type {complaint.feedback_type} is no complaint."
    return [_plain(one, BounceClass.NONE, "arf.no-complaint", why) for one in who]


def _receipt(seen: Layout) -> list[Verdict]:
    """Return a verdict when the mail is a receipt (RFC 8098): read, or rejected after all."""
    for part in seen.own:
        if part.kind == "message/disposition-notification":
            fields = read_headers(part.text)
            who = recipient_of(fields.first("final-recipient")) or seen.sender
            if _REJECTED.search(fields.first("disposition")):
                return [classify(Evidence(address=who, action=Action.FAILED, notice=seen.text))]
            why = "A disposition notification (RFC 8098): the mail was there to be read."
            return [_plain(who, BounceClass.DELIVERED, "mdn.disposition", why)]
    return []


def _written_by_someone(seen: Layout) -> tuple[AnswerKind, list[Verdict]]:
    address = seen.sender
    own = split_quotes(text_of_parts(seen.message.parts)).own
    if wants_to_leave(seen.headers, own):
        why = "It asks to be taken off the list, and nothing else."
        return AnswerKind.UNSUBSCRIBE, [_plain("", BounceClass.NONE, "unsubscribe", why)]
    if rule := _machine(seen, own):
        why = "A machine answered: that says nothing about delivery, and stops no sequence."
        return AnswerKind.AUTO_REPLY, [_plain(address, BounceClass.AUTO_REPLY, rule, why)]
    if not seen.headers.fields:
        why = "It cannot be read as a mail: there are no header fields."
        return AnswerKind.REPLY, [_plain("", BounceClass.NONE, "unreadable", why)]
    why = "It reads like a person's mail; no failure of a delivery was found in it."
    return AnswerKind.REPLY, [_plain("", BounceClass.NONE, "no-bounce", why)]


def _machine(seen: Layout, text: str) -> str:
    if auto_reply.is_marked_automatic(seen.headers):
        return "auto-reply.marked"
    if auto_reply.has_vacation_subject(seen.headers):
        return "auto-reply.subject"
    if seen.headers.first("return-path").strip() == "<>":
        return "auto-reply.null-path"
    return "auto-reply.challenge" if auto_reply.is_challenge(seen.headers, text) else ""


def _plain(address: str, class_: BounceClass, rule: str, why: str) -> Verdict:
    return Verdict(address=address, class_=class_, status="", rule=rule, explanation=why)
