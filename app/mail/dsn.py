"""Delivery status notifications (RFC 3464): the fields per recipient, also from mangled reports.

Fields are read from message/delivery-status, and from any text that holds them: reports come
forwarded, quoted with `>`, as plain text, with a blank line in the middle of a group.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from app.mail.message import Part
from app.mail.recipient import recipient_of
from app.mail.reply import EnhancedStatus
from app.mail.status import status_field

_FIELD = re.compile(r"(?:[>|]\s?){0,4}\s{0,12}([A-Za-z][A-Za-z-]{2,39})\s{0,3}:(.*)")
_QUOTE = re.compile(r"(?:[>|]\s?){0,4}")
_STARTS = frozenset({"original-recipient", "final-recipient"})
_RECIPIENT = _STARTS | {
    "action", "status", "remote-mta", "diagnostic-code", "last-attempt-date", "final-log-id",
    "will-retry-until", "x-actual-recipient", "x-display-name", "x-supplementary-info",
    "x-powermta-bouncecategory", "x-notes", "x-postfix-sender", "x-failed-recipients",
}  # fmt: skip
_MESSAGE = frozenset(
    {"reporting-mta", "original-envelope-id", "arrival-date", "received-from-mta", "dsn-gateway"}
)
_MOST_GROUPS, _LONGEST_VALUE = 500, 2_000


class Action(StrEnum):
    """What became of the mail at the reporting server (RFC 3464, 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


_ACTION_WORDS = {
    "fail": Action.FAILED,
    "error": Action.FAILED,
    "bounce": Action.FAILED,
    "delay": Action.DELAYED,
    "deliver": Action.DELIVERED,
    "relay": Action.RELAYED,
    "expand": Action.EXPANDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The fields of one recipient; `original` is what we wrote in RCPT TO, when it is told."""

    original: str | None
    final: str | None
    actual: str | None
    action: Action | None
    status: EnhancedStatus | None
    diagnostic: str

    @property
    def address(self) -> str | None:
        """Return the recipient as the sender knew it."""
        return self.original or self.final or self.actual


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A delivery status notification; `envelope_id` is the ENVID of the mail (RFC 3461)."""

    groups: tuple[Group, ...]
    envelope_id: str = ""
    reporting_mta: str = ""


def read_report(parts: list[Part]) -> Report | None:
    """Return what the first part that holds recipient fields reports; None when none does."""
    declared = [part for part in parts if part.kind.endswith("delivery-status")]
    for part in [*declared, *(part for part in parts if part not in declared)]:
        if (report := report_in(part.text)) is not None:
            return report
    return None


def report_in(text: str) -> Report | None:
    """Return the report a text holds; None without a recipient and its fate."""
    if "recipient" not in text.lower():
        return None
    about: dict[str, str] = {}
    groups = [group for fields in _field_groups(text, about) if (group := _group(fields))]
    if not groups:
        return None
    return Report(
        groups=tuple(groups),
        envelope_id=about.get("original-envelope-id", ""),
        reporting_mta=about.get("reporting-mta", ""),
    )


def _field_groups(text: str, about: dict[str, str]) -> list[dict[str, str]]:
    """Return the fields of each recipient; those about the mail are put into `about`."""
    groups: list[dict[str, str]] = [{}]
    into: dict[str, str] = about
    name, is_parted = "", False
    for line in text.split("\n"):
        bare = line[_QUOTE.match(line).end() :] if line[:1] in ">|" else line  # type: ignore[union-attr]
        found = _FIELD.match(bare)
        key = found[1].lower() if found else ""
        if found and key in _RECIPIENT:
            if _is_next(groups[-1], key, is_parted) and len(groups) < _MOST_GROUPS:
                groups.append({})
            into, name, is_parted = groups[-1], key, False
            into.setdefault(name, found[2].strip()[:_LONGEST_VALUE])
        elif found and key in _MESSAGE:
            into, name = about, key
            into.setdefault(name, found[2].strip()[:_LONGEST_VALUE])
        elif not bare.strip():
            name, is_parted = "", True
        elif name and (bare[:1] in " \t" or (not found and name == "diagnostic-code")):
            into[name] = f"{into[name]} {bare.strip()}"[:_LONGEST_VALUE]
        elif name and not found:
            name = ""
    return groups


def _is_next(group: dict[str, str], key: str, is_parted: bool) -> bool:  # noqa: FBT001 - a fact
    """Tell whether a field begins the next recipient."""
    if key in group:
        return key in _STARTS or (is_parted and bool(_STARTS & group.keys()))
    return key in _STARTS and is_parted and {"action", "status"} <= group.keys()


def _group(fields: dict[str, str]) -> Group | None:
    recipients = [
        recipient_of(fields.get(name, ""))
        for name in ("original-recipient", "final-recipient", "x-actual-recipient")
    ]
    has_fate = any(fields.get(name) for name in ("action", "status", "diagnostic-code"))
    if not has_fate or not (_STARTS & fields.keys() or any(recipients)):
        return None
    original, final, actual = recipients
    return Group(
        original=original,
        final=final,
        actual=actual,
        action=_action(fields.get("action", "")),
        status=status_field(fields.get("status", "")),
        diagnostic=fields.get("diagnostic-code", "") or fields.get("x-supplementary-info", ""),
    )


def _action(value: str) -> Action | None:
    """Return the action; some servers inflect it or write a comment behind it."""
    lowered = value.lower()
    return next((action for word, action in _ACTION_WORDS.items() if word in lowered), None)
