"""What goes row by row: for apps that keep less than the longest, and where no month can leave."""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.assembly.expiry import BODIES, WORDS
from app.db.expiry import Expiry, Measure
from app.db.session import Session
from app.feedback.expiry import ANSWERS, SOFT_BOUNCES
from app.lifecycle.retired import COPIES, MAILS
from app.queueing.expiry import LETTERS
from app.retention.periods import Periods, cutoff, month_of
from app.submission.expiry import BATCHES, FILES, MESSAGES

BATCH = 1_000
_PAUSE_S = 0.01  # between two batches: sending has the disk meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One kind of row and the period it follows. `is_of_mail`: it goes after its mails."""

    expiry: Expiry
    period: Literal["emails", "content"] = "emails"
    is_of_mail: bool = False


# In this order: what refers to something goes before it.
_SWEEPS = (
    Sweep(expiry=MAILS, is_of_mail=True),
    Sweep(expiry=MESSAGES, is_of_mail=True),
    Sweep(expiry=BATCHES, is_of_mail=True),
    Sweep(expiry=FILES),
    Sweep(expiry=BODIES, is_of_mail=True),
    Sweep(expiry=WORDS, period="content"),
    Sweep(expiry=ANSWERS),
    Sweep(expiry=COPIES, period="content"),
    Sweep(expiry=SOFT_BOUNCES),
    Sweep(expiry=LETTERS),
)
_OF_NO_APP = (
    Sweep(expiry=ANSWERS),
    Sweep(expiry=COPIES, period="content"),
    Sweep(expiry=LETTERS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Rows of one app (None: of no app) that are older than `until`."""

    app_id: UUID | None
    expiry: Expiry
    until: dt.datetime
    days: int

    def measure(self, session: Session) -> Measure:
        """Return how much that is."""
        return self.expiry.measure(session, self.app_id, self.until)

    def delete(self, session: Session, is_over: Callable[[], bool]) -> int:
        """Delete batch by batch until nothing is left or the time `is_over`; return how many."""
        deleted = 0
        while not is_over():
            taken = self.expiry.take(session, self.app_id, self.until, BATCH)
            deleted += taken
            if taken < BATCH:
                break
            time.sleep(_PAUSE_S)
        return deleted


def due(periods: Mapping[UUID, Periods], longest: Periods, now: dt.datetime) -> Iterator[Due]:
    """Yield what has to go, app by app.

    Where an app keeps mail as long as any, whole months leave; what hangs on mails follows them.
    """
    for app_id, own in periods.items():
        goes_by_month = own.emails >= longest.emails
        for sweep in _SWEEPS:
            if goes_by_month and sweep.expiry is MAILS:
                continue
            yield _due(app_id, own, sweep, now, by_month=goes_by_month and sweep.is_of_mail)
    for sweep in _OF_NO_APP:
        yield _due(None, Periods(), sweep, now, by_month=False)


def _due(
    app_id: UUID | None, own: Periods, sweep: Sweep, now: dt.datetime, *, by_month: bool
) -> Due:
    days: int = getattr(own, sweep.period)
    until = cutoff(now, days)
    return Due(
        app_id=app_id,
        expiry=sweep.expiry,
        until=month_of(until) if by_month else until,
        days=days,
    )
