"""How long an app keeps what. Pure.

Content goes first, then the e-mails with their timelines, and what a person did last (the audit
log). The longest period of any app decides when a whole month leaves the database.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_NAMES = ("emails", "content", "audit")
SHORTEST_AUDIT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Days. `content`: kept copies of mail and raw inbound mail; `emails`: mails and all of them."""

    emails: int = 90
    content: int = 30
    audit: int = 365

    @classmethod
    def of_app(cls, settings: Mapping[str, Any]) -> "Periods":
        """Return what an app's settings name (retention_emails_days and so on), or the usual."""
        given = {name: settings.get(f"retention_{name}_days") for name in _NAMES}
        return cls(**{name: days for name, days in given.items() if isinstance(days, int)})

    @classmethod
    def longest(cls, periods: Iterable["Periods"]) -> "Periods":
        """Return the longest of each; audit entries of no app follow the usual one."""
        every = list(periods) or [cls()]
        found = {name: max(getattr(one, name) for one in every) for name in _NAMES}
        return cls(**found | {"audit": max(found["audit"], cls().audit)})


def cutoff(now: dt.datetime, days: int) -> dt.datetime:
    """Return the time from which on all is kept."""
    return now - dt.timedelta(days=days)


def month_of(at: dt.datetime) -> dt.datetime:
    """Return the first moment of a month: where whole months end that are over before `at`."""
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
