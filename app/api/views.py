"""Answers that several subjects share: counts of a funnel, the balance of the books."""

import dataclasses

from pydantic import BaseModel, Field

from app.analytics.reports import Counts
from app.lifecycle.ledger import Ledger


class CountsView(BaseModel):
    """The stages of a funnel; opens and clicks unique per mail, people's apart from machines'."""

    planned: int
    waiting: int
    sent: int = Field(description="Accepted by the recipient's server, also when it bounced later.")
    failed: int
    suppressed: int
    cancelled: int
    expired: int
    unknown: int
    delivered: int
    bounced: int
    complained: int
    opened: int
    opened_human: int
    clicked: int
    clicked_human: int
    unsubscribed: int


class LedgerView(BaseModel):
    """planned = sent + failed + suppressed + cancelled + expired + unknown + waiting + off_by."""

    planned: int
    sent: int
    failed: int
    suppressed: int
    cancelled: int
    expired: int
    unknown: int
    waiting: int
    off_by: int = Field(description="0 when the books balance.")


def counts_view(counts: Counts) -> CountsView:
    """Return counts as they are answered."""
    return CountsView(**dataclasses.asdict(counts), waiting=counts.waiting)


def ledger_view(books: Ledger) -> LedgerView:
    """Return a balance as it is answered."""
    return LedgerView(**dataclasses.asdict(books), off_by=books.off_by)
