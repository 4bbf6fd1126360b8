"""Complaints: feedback reports of mailbox providers (ARF, RFC 5965) and the older kinds.

A report names the recipient in Original-Rcpt-To; where the provider hides it, the returned mail's
own headers do. Only reports of abuse and opt-outs are complaints: `not-spam` says the opposite,
and `auth-failure` (RFC 6591) is about signatures.
"""

import re
from dataclasses import dataclass

from app.mail.message import Headers, Message, read_headers
from app.mail.notice import returned_recipients
from app.mail.recipient import addresses_in, recipient_of, unique

_COMPLAINTS = frozenset(
    {"abuse", "fraud", "opt-out", "opt-out-list", "virus", "complaint", "miscategorized"}
)
_SUBJECT = re.compile(
    r"\b(?:complaint about message from|abuse report|spam complaint)\b", re.IGNORECASE
)
_RECIPIENTS = ("original-rcpt-to", "removal-recipient", "original-recipient", "final-recipient")
_HOTMAIL = "x-hmxmroriginalrecipient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A feedback report: its type in lower case, and whom it is about."""

    feedback_type: str
    recipients: tuple[str, ...]

    @property
    def is_complaint(self) -> bool:
        """Tell whether the recipient calls the mail unwanted."""
        return self.feedback_type in _COMPLAINTS


def read_complaint(message: Message, returned: list[Headers]) -> Complaint | None:
    """Return the complaint a mail is, or None."""
    for part in message.parts:
        if part.kind == "message/feedback-report":
            fields = read_headers(part.text)
            kind = fields.first("feedback-type").strip().lower() or "abuse"
            return Complaint(feedback_type=kind, recipients=_recipients(fields, returned))
    hidden = [value for one in returned for value in one.all(_HOTMAIL)]
    if hidden or _is_old_report(message, returned):
        known = unique(address for value in hidden for address in addresses_in(value))
        return Complaint(
            feedback_type="abuse", recipients=tuple(known or returned_recipients(returned)[:1])
        )
    return None


def _is_old_report(message: Message, returned: list[Headers]) -> bool:
    return bool(returned) and _SUBJECT.search(message.headers.first("subject")[:500]) is not None


def _recipients(fields: Headers, returned: list[Headers]) -> tuple[str, ...]:
    told = [recipient_of(value) for name in _RECIPIENTS for value in fields.all(name)]
    named = unique(address for address in told if address)
    return tuple(named or returned_recipients(returned)[:1])
