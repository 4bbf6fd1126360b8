"""Who is still to get what of a campaign: the facts a forecast stands on, read in bulk."""

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.config import settings
from app.db.session import Row, Session, one
from app.errors import NotFound
from app.policy import pacing, standing, throttle
from app.policy.suppression import LEAD_SUPPRESSED_SQL
from app.policy.warmup import ramp
from app.scheduling.calendar import Window
from app.scheduling.senders import Lot, SenderLimits
from app.scheduling.shares import Bound, Quota, Shared, millis
from app.sending.counted import recent_attempts, usage

_MOST_RIVALS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the mails of a campaign share. `active` accounts in the order of rotation."""

    campaign_id: UUID
    app_id: UUID
    is_draft: bool
    starts_at: dt.datetime
    priority: int
    window: Window
    timezone: str
    uses_lead_timezone: bool
    waits: tuple[dt.timedelta, ...]
    active: tuple[UUID, ...]
    senders: dict[UUID, SenderLimits]
    shared: Shared


class Cohort(NamedTuple):
    """People who go on alike: the step that goes next and when it is due; None: held by an unknown.

    `is_planned`: their mails exist already. `goes_on`: further steps will follow. `domain` is given
    where it is slowed, `lead_id` where the account is no longer active: then it stands for one.
    """

    people: int
    lead_id: UUID | None
    account_id: UUID
    timezone: str | None
    position: int
    due_at: dt.datetime | None
    closes_at: dt.datetime | None
    is_planned: bool
    goes_on: bool
    domain: str | None


_SETTING = """
SELECT c.app_id, c.status, c.scheduled_at, c.priority, c.window_days, c.window_start, c.window_end,
       c.timezone, c.uses_lead_timezone, q.per_minute, a.per_minute, a.daily_quota, a.monthly_quota
FROM campaigns c JOIN queues q ON q.id = c.queue_id JOIN apps a ON a.id = c.app_id
WHERE c.id = %s"""

_WAITS = """
SELECT wait_duration_hours FROM campaign_sequence_steps WHERE campaign_id = %s ORDER BY position"""

# Every account whose mails may still go: those of the rotation, and those leads kept.
_SENDERS = f"""
SELECT a.id, {standing.HOURLY_LIMIT}, a.daily_limit, a.min_gap_ms, a.warmup_started_on,
       a.warmup_daily_start, a.warmup_growth, a.status = 'active', ca.position
FROM campaign_accounts ca JOIN email_accounts a ON a.id = ca.account_id
{standing.OF_ACCOUNT}
WHERE ca.campaign_id = %s ORDER BY ca.position"""  # noqa: S608 - constants


def setting(session: Session, campaign_id: UUID, now: dt.datetime) -> Setting:
    """Return what a campaign's mails share; raises NotFound."""
    row = one(session, _SETTING, (campaign_id,))
    if row is None:
        raise NotFound(f"There is no campaign {campaign_id}.", field="campaign")
    waits = session.execute(_WAITS, (campaign_id,)).fetchall()
    senders: dict[UUID, SenderLimits] = {}
    active: list[UUID] = []
    for account in session.execute(_SENDERS, (campaign_id,)).fetchall():
        senders[account[0]] = SenderLimits(
            hourly_limit=account[1],
            daily_limit=account[2],
            min_gap_ms=account[3],
            ramp=ramp(account[4], account[5], account[6]),
            sent_by_minute=_recent(session, row[0], account[0]),
        )
        if account[7]:
            active.append(account[0])
    return Setting(
        campaign_id=campaign_id,
        app_id=row[0],
        is_draft=row[1] == "draft",
        starts_at=max(now, row[2] or now),
        priority=row[3],
        window=Window(days=frozenset(row[4]), start=row[5], end=row[6]),
        timezone=row[7],
        uses_lead_timezone=row[8],
        waits=tuple(dt.timedelta(hours=float(wait[0])) for wait in waits),
        active=tuple(active),
        senders=senders,
        shared=_shared(session, row, now),
    )


def _shared(session: Session, row: Row, now: dt.datetime) -> Shared:
    """Return what everything above the accounts allows; quotas are counted only where there are any."""
    queue, app, a_day, a_month = row[9:13]
    minutes = {Bound.GLOBAL: settings().global_per_minute, Bound.APP: app, Bound.QUEUE: queue}
    quotas: list[Quota] = []
    if a_day or a_month:
        used = usage(session, row[0])
        if a_day:
            quotas.append(Quota(bound=Bound.APP_DAY, mails=a_day, used=used.today))
        if a_month:
            quotas.append(Quota(bound=Bound.APP_MONTH, mails=a_month, used=used.this_month))
    per_minute = {bound: mails for bound, mails in minutes.items() if mails}
    slowed = {
        slow.domain: slow
        for slow in pacing.list_all(session, row[0])
        if throttle.pace(slow, now) is not None
    }
    return Shared(per_minute=per_minute, quotas=tuple(quotas), domains=slowed)


def _recent(session: Session, app_id: UUID, account_id: UUID) -> dict[int, int]:
    counted = recent_attempts(session, app_id, account_id)
    return {millis(at) // 60_000: mails for at, mails in counted.items()}


# Their order is kept to the grain: so many people of one account, a 2,000th of the campaign.
GRAINS = 2_000
_GRAIN = f"greatest(1, count(*) OVER () / {GRAINS})"
_ZONE = "CASE WHEN %(has_zones)s THEN l.timezone END"
_DOMAIN = """CASE WHEN split_part(l.email, '@', 2) = ANY(%(domains)s)
                THEN split_part(l.email, '@', 2) END"""

# As the start would enrol them (app/campaigns/enrolments), in the same turns.
_OF_DRAFT = f"""
SELECT count(*), place %% %(accounts)s, timezone, domain FROM (
  SELECT row_number() OVER (ORDER BY l.id) - 1 AS place, {_GRAIN} AS grain,
         {_ZONE} AS timezone, {_DOMAIN} AS domain
  FROM leads l JOIN campaigns c ON c.app_id = l.app_id
  WHERE c.id = %(campaign)s AND l.status = 'active' AND l.variables @> c.audience
    AND NOT {LEAD_SUPPRESSED_SQL}) people
GROUP BY place / %(accounts)s / grain, 2, 3, 4 ORDER BY min(place)"""  # noqa: S608 - constants

# Enrolments under way, and finished ones whose last mail still waits. psycopg reads no infinity:
# a parked mail has no time, and counts as due when the campaign goes on.
_UNDER_WAY = f"""
SELECT count(*), lead_id, account_id, timezone, position, look_at, status, due_at, sent_at,
       closes_at, goes_on, domain
FROM (
  SELECT e.*, row_number() OVER (PARTITION BY account_id ORDER BY due, id) / grain AS slice
  FROM (
    SELECT n.id, coalesce(m.due_at, n.due_at) AS due, {_GRAIN} AS grain,
           CASE WHEN coalesce(m.account_id, n.account_id) = ANY(%(active)s) THEN NULL
                ELSE n.lead_id END AS lead_id,
           coalesce(m.account_id, n.account_id) AS account_id, {_ZONE} AS timezone,
           n.steps_planned - n.repeated AS position, n.due_at AS look_at, m.status,
           CASE WHEN m.due_at < 'infinity' THEN m.due_at END AS due_at, m.sent_at,
           m.window_closes_at AS closes_at, n.due_at IS NOT NULL AS goes_on, {_DOMAIN} AS domain
    FROM enrolments n JOIN leads l ON l.id = n.lead_id
    LEFT JOIN emails m ON m.id = n.last_email_id AND m.campaign_id = n.campaign_id
    WHERE n.campaign_id = %(campaign)s AND l.status = 'active'
      AND (n.due_at IS NOT NULL OR m.status IN ('scheduled', 'unknown'))) e) people
GROUP BY slice, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
ORDER BY min(due), slice, min(id::text)"""  # noqa: S608 - constants


def cohorts(session: Session, found: Setting, now: dt.datetime) -> list[Cohort]:
    """Return everybody who is still to get a mail, in the order of their due times."""
    binds = {
        "campaign": found.campaign_id,
        "domains": list(found.shared.domains),
        "has_zones": found.uses_lead_timezone and not found.window.is_always_open,
        "active": list(found.active),
    }
    if not found.is_draft:
        rows = session.execute(_UNDER_WAY, binds, binary=True).fetchall()
        return [cohort for row in rows if (cohort := _under_way(row, found, now)) is not None]
    accounts = found.active or tuple(found.senders)
    binds["accounts"] = len(accounts)
    rows = session.execute(_OF_DRAFT, binds, binary=True).fetchall()
    at = found.starts_at
    return [
        Cohort(people, None, accounts[turn], timezone, 0, at, None, False, True, domain)
        for people, turn, timezone, domain in rows
    ]


def _under_way(row: Row, found: Setting, now: dt.datetime) -> Cohort | None:
    people, lead_id, account_id, timezone, position, look_at, status, due_at, *more = row
    sent_at, closes_at, goes_on, domain = more
    is_planned = status == "scheduled"
    match status:
        case "scheduled":
            position, when = position - 1, due_at or now
        case "unknown":
            when = None
        case "queued" | "sending":
            when = now + _wait(found, position)
        case "sent" | "delivered":
            when = max(now, (sent_at or now) + _wait(found, position))
        case None:
            when = look_at
        case _:  # the next look ends the sequence
            return None
    closes_at = closes_at if is_planned else None
    who = (people, lead_id, account_id, timezone)
    return Cohort(*who, position, when, closes_at, is_planned, goes_on, domain)


def _wait(found: Setting, position: int) -> dt.timedelta:
    return found.waits[position] if position < len(found.waits) else dt.timedelta()


# Counted by the minute in which they are due; what is due already is one lot.
_RIVALS = """
SELECT account_id, priority, min(due_at), count(*) FROM (
  SELECT account_id, priority, due_at FROM emails
  WHERE account_id = ANY(%(accounts)s) AND due_at IS NOT NULL AND due_at < 'infinity'
    AND campaign_id IS DISTINCT FROM %(campaign)s
  ORDER BY account_id, priority DESC, due_at LIMIT %(limit)s) rivals
GROUP BY account_id, priority, date_trunc('minute', greatest(due_at, %(now)s))
ORDER BY account_id, priority DESC, min(due_at)"""


def rivals(session: Session, found: Setting, now: dt.datetime) -> list[Lot]:
    """Return the waiting mails of others that go through the same accounts (index emails_due)."""
    binds = {
        "accounts": list(found.senders),
        "campaign": found.campaign_id,
        "limit": _MOST_RIVALS,
        "now": now,
    }
    numbers = {account_id: number for number, account_id in enumerate(found.senders)}
    return [
        Lot(numbers[row[0]], None, row[3], 0, (millis(row[2]), None), row[1])
        for row in session.execute(_RIVALS, binds, binary=True).fetchall()
    ]
