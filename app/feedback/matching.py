"""Which of our mails a mail in somebody's mailbox answers; nearly all answer none and are not kept.

There the address proves nothing, so the mail has to name ours: by a coded address that it came to,
by our Message-ID in its thread or in what it returns, or by the ENVID of a report. An id has 74
random bits: only who has seen the mail can name it, and what it says counts for that mail alone.
"""

from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session
from app.feedback import mails
from app.feedback.messages import Arrival
from app.mail.answer import Answer, read_answer
from app.mail.layout import sender_of
from app.mail.recipient import addresses_in
from app.mail.thread import read_thread
from app.mail.verp import AddressUse, CodedAddress, CodedDomain, named_by

_ADDRESSED = ("delivered-to", "x-original-to", "envelope-to", "to", "cc")
_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose mailbox it is; `address` is the account's own."""

    app_id: UUID
    account_id: UUID
    address: str


def match(
    session: Session, owner: Owner, raw: bytes, coded_domain: CodedDomain | None
) -> Arrival | None:
    """Return a mail as one that came back to a mail of the owner's app; None when it did not."""
    answer = read_answer(raw)
    headers = answer.message.headers
    if sender_of(headers).lower() == owner.address.lower():
        return None  # the owner's own mail, in a folder that holds both sides
    coded = _coded(answer, coded_domain)
    named = [one.email_id for one in coded] + _ids(answer)
    own = named_by(read_thread(headers).message_id)
    known = mails.own(session, owner.app_id, [*named, *([own] if own else [])])
    found = next((one for one in named if one in known), None)
    if found is None or own in known:  # a step of a sequence names the steps before it
        return None
    by_address = next((one for one in coded if one.email_id == found), None)
    return Arrival(
        recipient=_recipient(by_address, coded_domain) or owner.address,
        coded=by_address or CodedAddress(use=AddressUse.REPLY, email_id=found),
        return_path=next(iter(addresses_in(headers.first("return-path"))), ""),
        raw=raw,
        account_id=owner.account_id,
    )


def _coded(answer: Answer, domain: CodedDomain | None) -> list[CodedAddress]:
    """Return the coded addresses it came to whose MAC holds."""
    if domain is None:
        return []
    headers = answer.message.headers
    fields = [value for name in _ADDRESSED for value in headers.all(name)]
    addresses = [one for value in fields for one in addresses_in(value)][:_MOST]
    return [coded for one in addresses if (coded := domain.read(one)) is not None]


def _recipient(coded: CodedAddress | None, domain: CodedDomain | None) -> str:
    return domain.address(coded.use, coded.email_id) if coded and domain else ""


def _ids(answer: Answer) -> list[UUID]:
    """Return what may be ids of our mails, nearest first."""
    texts = [*answer.original_ids[:_MOST], f"{answer.envelope_id}@envelope"]
    return [found for text in texts if (found := named_by(text)) is not None]
