"""Bounces: reports in fields first, then notices in prose, then those inside of other mails.

flufl.bounce is the last finder of addresses. It names recipients only: its verdict alone never
makes a bounce hard.
"""

from app.mail import auto_reply, notice, prose
from app.mail.classify import Evidence, Verdict, classify
from app.mail.dsn import Action, Group, Report, read_report
from app.mail.last_finder import find_addresses
from app.mail.layout import Layout, recipients_of
from app.mail.message import Headers
from app.mail.recipient import addresses_in, unique

# Looking for each recipient's words among the others' takes the square of their number.
_MANY = 40


def read_bounce(seen: Layout) -> tuple[list[Verdict], str] | None:
    """Return the verdicts of a bounce and the ENVID it names; None when a mail is none."""
    if (report := read_report(seen.own)) is not None:
        return _reported(seen, report), report.envelope_id
    if not is_vacation(seen) and (verdicts := _told(seen)):
        return verdicts, ""
    if (report := read_report(seen.inner)) is not None:
        return _reported(seen, report), report.envelope_id
    verdicts = _forwarded(seen) or _last_found(seen)
    return (verdicts, "") if verdicts else None


def is_vacation(seen: Layout) -> bool:
    """Tell whether a program answered for an absent person, and no mail system."""
    if seen.headers.first("x-failed-recipients"):
        return False
    return auto_reply.has_vacation_subject(seen.headers) or (
        auto_reply.is_marked_automatic(seen.headers) and not prose.is_from_daemon(seen.headers)
    )


def _reported(seen: Layout, report: Report) -> list[Verdict]:
    """Return the verdicts of a report; addresses it hides come from the mail it returns."""
    addresses = [group.address or "" for group in report.groups]
    if not all(addresses):
        known = notice.returned_recipients(seen.returned)
        told = [one.address for one in notice.failures_in(seen.text, seen.senders, known)]
        spare = [one for one in [*told, *known] if one not in addresses]
        addresses = [one or (spare.pop(0) if spare else "") for one in addresses]
    everyone = unique(one for one in addresses if one)
    found: dict[str, Verdict] = {}
    for address, group in zip(addresses, report.groups, strict=True):
        words = _words(seen, address, everyone)
        found.setdefault(address.lower(), classify(_evidence(seen, address, group, words)))
    return list(found.values())


def _words(seen: Layout, address: str, everyone: list[str]) -> str:
    """Return what the notice says of one recipient; of very many, nothing."""
    if not address:
        return seen.text
    return notice.words_about(seen.text, address, everyone) if len(everyone) <= _MANY else ""


def _evidence(seen: Layout, address: str, group: Group, words: str) -> Evidence:
    return Evidence(
        address=address,
        action=group.action or _implied_action(seen, group, words),
        status=group.status,
        diagnostic=group.diagnostic,
        notice=words,
    )


def _implied_action(seen: Layout, group: Group, words: str) -> Action | None:
    """Return the action of a report that leaves it out, as its status class tells it."""
    class_ = group.status.class_ if group.status else None
    if class_ == 2:
        return Action.DELIVERED
    is_delay = class_ == 4 and prose.is_delay_notice(seen.headers, words)
    return Action.DELAYED if is_delay else None


def _told(seen: Layout) -> list[Verdict]:
    """Return the verdicts of a notice in prose."""
    if not prose.looks_like_notice(seen.headers, seen.text):
        return []
    return _judged(seen.headers, seen.text, _failures(seen))


def _failures(seen: Layout) -> list[notice.Failure]:
    known = notice.returned_recipients(seen.returned)
    named = unique(
        one for value in seen.headers.all("x-failed-recipients") for one in addresses_in(value)
    )
    if named:
        return [
            notice.Failure(address=one, words=notice.words_about(seen.text, one, named))
            for one in named
        ]
    if found := notice.failures_in(seen.text, seen.senders, known):
        senders = seen.senders
        if any(one.address.lower() not in senders for one in found):
            return found
    domain = seen.sender.rpartition("@")[2].lower()
    if users := notice.users_in(seen.text, domain):
        return [notice.Failure(address=one, words=seen.text) for one in users]
    if found:
        return found
    if (found := _by_last_finder(seen)) or len(known) != 1:
        return found
    return [notice.Failure(address=known[0], words=seen.text)]


def _by_last_finder(seen: Layout) -> list[notice.Failure]:
    found = find_addresses(seen.raw)
    return [
        notice.Failure(address=one, words=notice.words_about(seen.text, one, found))
        for one in found
    ]


def _judged(headers: Headers, text: str, failures: list[notice.Failure]) -> list[Verdict]:
    action = Action.DELAYED if prose.is_delay_notice(headers, text) else None
    # The subject is left out: it often quotes that of the failed mail.
    return [
        classify(Evidence(address=one.address, action=action, diagnostic=one.words, notice=text))
        for one in failures
    ]


def _forwarded(seen: Layout) -> list[Verdict]:
    """Return the verdicts of a notice that came inside of another mail."""
    if is_vacation(seen) or "in-reply-to" in seen.headers:
        return []
    heads = [part for part in seen.inner if part.kind == "message/rfc822"]
    for head in heads:
        leaves = [part for part in seen.inner if part.level == head.level and part is not head]
        text, _ = notice.notice_text(leaves)
        if prose.is_from_daemon(head.headers) and prose.looks_like_notice(head.headers, text):
            return _judged(
                head.headers, text, notice.failures_in(text, recipients_of(head.headers), [])
            )
    return []


def _last_found(seen: Layout) -> list[Verdict]:
    """Return what only flufl.bounce finds; never where a person or a vacation program answers."""
    if is_vacation(seen) or "in-reply-to" in seen.headers or "references" in seen.headers:
        return []
    return _judged(seen.headers, seen.text, _by_last_finder(seen))
