"""What an SMTP reply means: its code (RFC 5321, 4.2) and enhanced status code (RFC 3463).

The wire (app/smtp) hands over code and text as they came; reading sense into them starts here.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

_ENHANCED = re.compile(r"(?:^|(?<=[\s(<]))([245])\.(\d{1,3})\.(\d{1,3})(?=$|[\s,;:)>-])")


class Severity(StrEnum):
    """The first digit: what becomes of the mail."""

    SUCCESS = "success"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


_SEVERITIES = {2: Severity.SUCCESS, 4: Severity.TRANSIENT, 5: Severity.PERMANENT}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EnhancedStatus:
    """An enhanced status code, class.subject.detail."""

    class_: int
    subject: int
    detail: int

    def __str__(self) -> str:
        return f"{self.class_}.{self.subject}.{self.detail}"

    @property
    def severity(self) -> Severity:
        """Return what the class digit says."""
        return _SEVERITIES[self.class_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpReply:
    """One complete reply; `text` has its lines joined by newlines, without codes."""

    code: int
    text: str

    @property
    def severity(self) -> Severity | None:
        """Return what the code's first digit says; None for 3xx and for what is no SMTP code."""
        return _SEVERITIES.get(self.code // 100)

    @property
    def enhanced(self) -> EnhancedStatus | None:
        """Return the enhanced status code when one stands at the start and agrees with the code.

        A reply `550 2.0.0 ...` contradicts itself; RFC 2034 forbids it, so it is not believed.
        """
        status = enhanced_status(self.text[:12], anywhere=False)
        if status is None or status.class_ != self.code // 100:
            return None
        return status


def enhanced_status(text: str, *, anywhere: bool = True) -> EnhancedStatus | None:
    """Return the first enhanced status code in `text`; with anywhere=False only at its start."""
    match = _ENHANCED.search(text) if anywhere else _ENHANCED.match(text)
    if match is None:
        return None
    class_, subject, detail = (int(digits) for digits in match.groups())
    return EnhancedStatus(class_=class_, subject=subject, detail=detail)
