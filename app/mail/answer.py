"""What a mail that comes back is: a bounce, a complaint, an answer of a machine or of a person.

Reports in fields come first, then notices in prose, and flufl.bounce as the last finder of
addresses. It names recipients only: its verdict alone never makes a bounce hard.
"""

from dataclasses import dataclass
from enum import StrEnum

from app.mail import arf, auto_reply, notice, prose
from app.mail.classify import Evidence, Verdict, classify
from app.mail.dsn import Action, Group, Report, read_report
from app.mail.last_finder import find_addresses
from app.mail.message import Headers, Message, Part, read_headers, read_message
from app.mail.recipient import addresses_in, unique
from app.mail.rules import BounceClass
from app.mail.thread import Written, read_thread, split_quotes, text_of_parts
from app.mail.unsubscribe import wants_to_leave


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A mail laid out for reading: what is its own, what it returns, what it says."""

    raw: bytes
    message: Message
    headers: Headers
    own: list[Part]
    inner: list[Part]
    returned: list[Headers]
    text: str


def read_answer(raw: bytes) -> Answer:
    """Read a mail that came back; never fails, whatever it is."""
    seen = _laid_out(raw)
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


def _laid_out(raw: bytes) -> _Seen:
    message = read_message(raw)
    own = [part for part in message.parts if part.level == 0]
    inner = [part for part in message.parts if part.level > 0]
    text, rest = notice.notice_text(own)
    returned = [part.headers for part in inner if part.level == 1 and part.kind == "message/rfc822"]
    returned += [read_headers(part.text) for part in own if part.kind.endswith("rfc822-headers")]
    returned += [_headers_within(rest)] if rest else []
    return _Seen(
        raw=raw,
        message=message,
        headers=message.headers,
        own=own,
        inner=inner,
        returned=returned,
        text=text,
    )


def _headers_within(text: str) -> Headers:
    """Return the header fields of a mail that follows in the notice itself, below some line."""
    lines = [line.lstrip(" >|\t") if line[:1] in ">|" else line for line in text.split("\n")]
    for index, line in enumerate(lines[:12]):
        if line[:1].strip() and ":" in line and (found := read_headers("\n".join(lines[index:]))):
            if len(found.fields) > 1:
                return found
    return Headers()


def _read(seen: _Seen) -> tuple[AnswerKind, list[Verdict], str]:
    """Return what the mail is, its verdicts and the ENVID it names."""
    if (complaint := arf.read_complaint(seen.message, seen.returned)) is not None:
        return AnswerKind.COMPLAINT, _complaints(seen, complaint), ""
    if receipt := _receipt(seen):
        return AnswerKind.AUTO_REPLY, receipt, ""
    if (report := read_report(seen.own)) is not None:
        return AnswerKind.BOUNCE, _reported(seen, report), report.envelope_id
    if not _is_vacation(seen) and (verdicts := _told(seen)):
        return AnswerKind.BOUNCE, verdicts, ""
    if (report := read_report(seen.inner)) is not None:
        return AnswerKind.BOUNCE, _reported(seen, report), report.envelope_id
    if verdicts := _forwarded(seen) or _last_found(seen):
        return AnswerKind.BOUNCE, verdicts, ""
    return *_written_by_someone(seen), ""


def _complaints(seen: _Seen, complaint: arf.Complaint) -> list[Verdict]:
    who = complaint.recipients or (_sender(seen.headers),)
    if complaint.is_complaint:
        why = f"A feedback report of type {complaint.feedback_type} (RFC 5965)."
        return [_plain(one, BounceClass.COMPLAINT, "arf.complaint", why) for one in who]
    why = f"A feedback report of type {complaint.feedback_type} is no complaint."
    return [_plain(one, BounceClass.NONE, "arf.no-complaint", why) for one in who]


def _receipt(seen: _Seen) -> list[Verdict]:
    """Return a verdict when the mail is a receipt of reading (RFC 8098): it proves the arrival."""
    if not any(part.kind == "message/disposition-notification" for part in seen.own):
        return []
    why = "A disposition notification (RFC 8098): the mail was there to be read or deleted."
    return [_plain(_sender(seen.headers), BounceClass.DELIVERED, "mdn.disposition", why)]


def _reported(seen: _Seen, report: Report) -> list[Verdict]:
    """Return the verdicts of a report; addresses it hides come from the mail it returns."""
    addresses = [group.address or "" for group in report.groups]
    if not all(addresses):
        known = notice.returned_recipients(seen.returned)
        told = [one.address for one in notice.failures_in(seen.text, _senders(seen), known)]
        spare = [one for one in [*told, *known] if one not in addresses]
        addresses = [one or (spare.pop(0) if spare else "") for one in addresses]
    everyone = unique(one for one in addresses if one)
    found: dict[str, Verdict] = {}
    for address, group in zip(addresses, report.groups, strict=True):
        words = notice.words_about(seen.text, address, everyone) if address else seen.text
        found.setdefault(address.lower(), classify(_evidence(seen, address, group, words)))
    return list(found.values())


def _evidence(seen: _Seen, address: str, group: Group, words: str) -> Evidence:
    action = group.action
    if action is Action.FAILED or action is None:
        delayed = group.status is not None and group.status.class_ == 4
        delayed = delayed and action is None and prose.is_delay_notice(seen.headers, words)
        action = Action.DELAYED if delayed else action
        if group.status is not None and group.status.class_ == 2 and action is None:
            action = Action.DELIVERED
    return Evidence(
        address=address, action=action, status=group.status, diagnostic=group.diagnostic, notice=words
    )


def _is_vacation(seen: _Seen) -> bool:
    if seen.headers.first("x-failed-recipients"):
        return False
    return auto_reply.has_vacation_subject(seen.headers) or (
        auto_reply.is_marked_automatic(seen.headers) and not prose.is_from_daemon(seen.headers)
    )


def _told(seen: _Seen) -> list[Verdict]:
    """Return the verdicts of a notice in prose."""
    if not prose.looks_like_notice(seen.headers, seen.text):
        return []
    return _judged(seen.headers, seen.text, _failures(seen))


def _failures(seen: _Seen) -> list[notice.Failure]:
    known = notice.returned_recipients(seen.returned)
    named = unique(
        one for value in seen.headers.all("x-failed-recipients") for one in addresses_in(value)
    )
    if named:
        return [
            notice.Failure(address=one, words=notice.words_about(seen.text, one, named))
            for one in named
        ]
    if found := notice.failures_in(seen.text, _senders(seen), known):
        return found
    if (found := _by_last_finder(seen)) or len(known) != 1:
        return found
    return [notice.Failure(address=known[0], words=seen.text)]


def _by_last_finder(seen: _Seen) -> list[notice.Failure]:
    found = find_addresses(seen.raw)
    return [
        notice.Failure(address=one, words=notice.words_about(seen.text, one, found))
        for one in found
    ]


def _judged(headers: Headers, text: str, failures: list[notice.Failure]) -> list[Verdict]:
    action = Action.DELAYED if prose.is_delay_notice(headers, text) else None
    subject = headers.first("subject")[:300]
    return [
        classify(
            Evidence(
                address=one.address, action=action, diagnostic=one.words, notice=f"{subject} {text}"
            )
        )
        for one in failures
    ]


def _forwarded(seen: _Seen) -> list[Verdict]:
    """Return the verdicts of a notice that came inside of another mail."""
    if _is_vacation(seen) or "in-reply-to" in seen.headers:
        return []
    heads = [part for part in seen.inner if part.kind == "message/rfc822"]
    for head in heads:
        leaves = [part for part in seen.inner if part.level == head.level and part is not head]
        text, _ = notice.notice_text(leaves)
        if prose.is_from_daemon(head.headers) and prose.looks_like_notice(head.headers, text):
            return _judged(head.headers, text, notice.failures_in(text, _to(head.headers), []))
    return []


def _last_found(seen: _Seen) -> list[Verdict]:
    """Return what only flufl.bounce finds; never where a person or a vacation program answers."""
    if _is_vacation(seen) or "in-reply-to" in seen.headers or "references" in seen.headers:
        return []
    return _judged(seen.headers, seen.text, _by_last_finder(seen))


def _written_by_someone(seen: _Seen) -> tuple[AnswerKind, list[Verdict]]:
    address = _sender(seen.headers)
    own = split_quotes(text_of_parts(seen.message.parts)).own
    if wants_to_leave(seen.headers, own):
        why = "It asks to be taken off the list, and nothing else."
        return AnswerKind.UNSUBSCRIBE, [_plain(address, BounceClass.NONE, "unsubscribe", why)]
    if rule := _machine(seen, own):
        why = "A machine answered: that says nothing about delivery, and stops no sequence."
        return AnswerKind.AUTO_REPLY, [_plain(address, BounceClass.AUTO_REPLY, rule, why)]
    if not seen.headers.fields:
        why = "It cannot be read as a mail: there are no header fields."
        return AnswerKind.REPLY, [_plain(address, BounceClass.NONE, "unreadable", why)]
    why = "It reads like a person's mail; no failure of a delivery was found in it."
    return AnswerKind.REPLY, [_plain(address, BounceClass.NONE, "no-bounce", why)]


def _machine(seen: _Seen, text: str) -> str:
    if auto_reply.is_marked_automatic(seen.headers):
        return "auto-reply.marked"
    if auto_reply.has_vacation_subject(seen.headers):
        return "auto-reply.subject"
    return "auto-reply.challenge" if auto_reply.is_challenge(seen.headers, text) else ""


def _plain(address: str, class_: BounceClass, rule: str, why: str) -> Verdict:
    return Verdict(address=address, class_=class_, status="", rule=rule, explanation=why)


def _sender(headers: Headers) -> str:
    return next(iter(addresses_in(headers.first("from") or headers.first("sender"))), "")


def _senders(seen: _Seen) -> set[str]:
    """Return the addresses that sent the failed mail or its notice, in lower case."""
    returned = [one for head in seen.returned for one in addresses_in(head.first("from"))]
    return _to(seen.headers) | {one.lower() for one in returned}


def _to(headers: Headers) -> set[str]:
    names = ("to", "delivered-to", "x-original-to", "from", "sender")
    return {one.lower() for name in names for one in addresses_in(headers.first(name))}
