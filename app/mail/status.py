"""What an enhanced status code says (RFC 3463 and the IANA registry of its codes)."""

import re

from app.mail.reply import EnhancedStatus

_FIELD = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?!\d)")
# Also `#5.1.1`, `(#5.1.1)` of qmail and Exchange, `550-5.1.1` of a folded reply.
_IN_TEXT = re.compile(
    r"(?:^|(?<=[\s(<\[#:;,\"'-]))([45])\.(\d{1,2})\.(\d{1,3})(?=$|[\s,;:)>\]\"'.<-](?!\d))"
)
_SUBJECTS = {
    0: "an undefined reason",
    1: "the address",
    2: "the mailbox",
    3: "the receiving mail system",
    4: "network and routing",
    5: "the delivery protocol",
    6: "the content",
    7: "security or policy",
}
_DETAILS = {
    (1, 1): "the mailbox does not exist",
    (1, 2): "the domain does not exist",
    (1, 3): "the address is not valid",
    (1, 4): "the address is ambiguous",
    (1, 6): "the mailbox has moved and left no address",
    (1, 7): "the sender's address is not valid",
    (1, 8): "the sender's domain is not valid",
    (1, 10): "the domain accepts no mail (null MX)",
    (2, 1): "the mailbox is disabled or takes no mail",
    (2, 2): "the mailbox is full",
    (2, 3): "the mail is longer than the mailbox takes",
    (2, 4): "a mailing list could not be expanded",
    (3, 1): "the mail system is full",
    (3, 2): "the mail system takes no mail now",
    (3, 4): "the mail is too big",
    (3, 5): "the mail system is configured wrongly",
    (4, 1): "the host did not answer",
    (4, 2): "the connection broke",
    (4, 3): "the directory server failed",
    (4, 4): "no route to the host",
    (4, 5): "the mail system is congested",
    (4, 6): "the mail went in a loop",
    (4, 7): "the time for delivery ran out",
    (6, 7): "the address needs SMTPUTF8",
    (7, 0): "a security rule forbids it",
    (7, 1): "delivery is not authorised: the mail was refused",
    (7, 26): "authentication of the mail failed",
}


def status_field(value: str) -> EnhancedStatus | None:
    """Return the code a Status field starts with; a comment may follow it."""
    found = _FIELD.match(value)
    return _status(found) if found else None


def status_in(text: str) -> EnhancedStatus | None:
    """Return the first code of a failure in a text: x.0.0 only when there is no other."""
    every = [_status(found) for found in _IN_TEXT.finditer(text)]
    telling = [status for status in every if (status.subject, status.detail) != (0, 0)]
    return next(iter(telling or every), None)


def _status(found: re.Match[str]) -> EnhancedStatus:
    class_, subject, detail = (int(digits) for digits in found.groups())
    return EnhancedStatus(class_=class_, subject=subject, detail=detail)


def meaning(status: EnhancedStatus) -> str:
    """Return what a code says, in words."""
    exact = _DETAILS.get((status.subject, status.detail))
    return exact or f"a problem with {_SUBJECTS.get(status.subject, _SUBJECTS[0])}"
