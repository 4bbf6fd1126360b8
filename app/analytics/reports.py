"""What a campaign came to: its funnel per step, per account and per hour.

Read from the rollups plus the deltas that are not folded yet, in one statement, so the numbers are
never behind and never double. Opens, clicks and unsubscribes are unique per mail; `opened` and
`clicked` include machines, the `_human` numbers do not (app/engagement/machines).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from app.db.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The stages of a funnel. `sent` counts every accepted mail, also when it bounced later."""

    planned: int = 0
    sent: int = 0
    failed: int = 0
    suppressed: int = 0
    cancelled: int = 0
    expired: int = 0
    unknown: int = 0
    delivered: int = 0
    bounced: int = 0
    complained: int = 0
    opened: int = 0
    opened_human: int = 0
    clicked: int = 0
    clicked_human: int = 0
    unsubscribed: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in _KINDS})

    @property
    def waiting(self) -> int:
        """Planned and neither sent nor stopped yet."""
        stopped = self.failed + self.suppressed + self.cancelled + self.expired + self.unknown
        return max(self.planned - self.sent - stopped, 0)


_KINDS = tuple(field.name for field in fields(Counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCounts:
    """One step of the sequence; `position` starts at 1."""

    step_id: UUID
    position: int
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Funnel:
    """A campaign from planned to clicked: its steps in order, and all of it."""

    steps: tuple[StepCounts, ...]
    total: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCounts:
    """One sending account of the campaign."""

    account_id: UUID
    address: str
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class HourCounts:
    """One hour (UTC) in which something was counted."""

    hour: dt.datetime
    counts: Counts


# Index email_stats_campaign_id; the deltas are few, the clock folds them every few seconds.
_COUNTED = """
WITH counted AS (
  SELECT step_id, account_id, kind, n, minute AS at FROM email_stats WHERE campaign_id = %(campaign)s
  UNION ALL
  SELECT step_id, account_id, kind, n, at FROM email_stat_deltas WHERE campaign_id = %(campaign)s)"""

_BY_STEP = f"""{_COUNTED}
SELECT step_id, kind, sum(n) FROM counted WHERE kind = ANY(%(kinds)s) GROUP BY 1, 2"""  # noqa: S608 - constants

_BY_ACCOUNT = f"""{_COUNTED}
SELECT account_id, kind, sum(n) FROM counted WHERE kind = ANY(%(kinds)s) GROUP BY 1, 2"""  # noqa: S608 - constants

_BY_HOUR = f"""{_COUNTED}
SELECT date_trunc('hour', at), kind, sum(n) FROM counted WHERE kind = ANY(%(kinds)s) GROUP BY 1, 2"""  # noqa: S608 - constants

_STEPS = "SELECT id, position FROM campaign_sequence_steps WHERE campaign_id = %s ORDER BY position"
_ADDRESSES = "SELECT id, address FROM email_accounts WHERE id = ANY(%s) ORDER BY address, id"


def funnel(session: Session, campaign_id: UUID) -> Funnel:
    """Return the funnel of a campaign; a step nobody reached yet has zeros."""
    by_step = _counts(session, _BY_STEP, campaign_id)
    steps = session.execute(_STEPS, (campaign_id,)).fetchall()
    return Funnel(
        steps=tuple(
            StepCounts(step_id=row[0], position=row[1], counts=by_step.get(row[0], Counts()))
            for row in steps
        ),
        total=sum(by_step.values(), start=Counts()),
    )


def by_account(session: Session, campaign_id: UUID) -> list[AccountCounts]:
    """Return what each account did for the campaign, by address."""
    counted = _counts(session, _BY_ACCOUNT, campaign_id)
    rows = session.execute(_ADDRESSES, ([key for key in counted if key],)).fetchall()
    return [
        AccountCounts(account_id=row[0], address=row[1], counts=counted[row[0]]) for row in rows
    ]


def by_hour(session: Session, campaign_id: UUID) -> list[HourCounts]:
    """Return the campaign's counts hour by hour, oldest first; hours without any are left out."""
    counted = _counts(session, _BY_HOUR, campaign_id)
    return [HourCounts(hour=hour, counts=counted[hour]) for hour in sorted(counted)]


_SENT_SINCE = f"""{_COUNTED}
SELECT coalesce(sum(n), 0) FROM counted WHERE kind = 'sent' AND at >= %(since)s"""  # noqa: S608 - constants


def sent_since(session: Session, campaign_id: UUID, since: dt.datetime) -> int:
    """Return how many mails of the campaign were accepted since then, to the minute."""
    row = session.execute(_SENT_SINCE, {"campaign": campaign_id, "since": since}).fetchone()
    return int(row[0]) if row else 0


def _counts(session: Session, statement: str, campaign_id: UUID) -> Mapping[Any, Counts]:
    rows = session.execute(statement, {"campaign": campaign_id, "kinds": list(_KINDS)}).fetchall()
    kinds: defaultdict[Any, dict[str, int]] = defaultdict(dict)
    for key, kind, total in rows:
        kinds[key][kind] = int(total)
    return {key: Counts(**found) for key, found in kinds.items()}
