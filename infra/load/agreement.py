"""No rate without agreement: what arrived, what the rows say and what the events say must be one.

A benchmark that counts what was handed over, not what arrived, measures how fast mail is lost.
"""

from dataclasses import dataclass

from app.errors import LedgerOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One number, asked in three places after a run: the sink, `emails`, `email_events`."""

    arrived: int
    sent_rows: int
    sent_events: int


def require_agreement(who: str, expected: int, counted: Counted) -> None:
    """Raise LedgerOff unless all three counts are `expected`: no rate is printed then."""
    if counted == Counted(arrived=expected, sent_rows=expected, sent_events=expected):
        return
    raise LedgerOff(
        f"No rate for {who}: the counts disagree.",
        why=(
            f"Expected {expected}; {counted.arrived} arrived at the sink, {counted.sent_rows} rows"
            f" say sent, {counted.sent_events} events say sent."
        ),
        fix="Read the logs of the run: mail was lost, doubled, refused or is still on its way.",
    )


def require_all(what: str, expected: int, found: int) -> None:
    """Raise LedgerOff when fewer were found than were promised: something was lost."""
    if found >= expected:
        return
    raise LedgerOff(
        f"No rate for {what}: {expected - found} of {expected} were lost.",
        why=f"{expected} were answered, {found} were stored.",
        fix="Read the logs of the run before any number of it.",
    )
