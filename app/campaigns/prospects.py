"""Who is still to get what of a campaign: the facts a forecast stands on, read in bulk."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from app.db.session import Row, Session, one
from app.errors import NotFound
from app.policy.warmup import ramp
from app.scheduling.calendar import Window
from app.scheduling.forecast import SenderLimits, Wanted
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One lead: the step that goes next and when it is due; `due_at` None: held by an unknown.

    `is_planned`: the mail exists already. `goes_on`: further steps will follow it.
    """

    lead_id: UUID
    account_id: UUID
    timezone: str | None
    position: int
    due_at: dt.datetime | None
    closes_at: dt.datetime | None
    is_planned: bool
    goes_on: bool


_SETTING = """
SELECT c.app_id, c.status, c.scheduled_at, c.priority, c.window_days, c.window_start, c.window_end,
       c.timezone, c.uses_lead_timezone, q.per_minute, a.per_minute, a.daily_quota, a.monthly_quota
FROM campaigns c JOIN queues q ON q.id = c.queue_id JOIN apps a ON a.id = c.app_id
WHERE c.id = %s"""

_WAITS = """
SELECT wait_duration_hours FROM campaign_sequence_steps WHERE campaign_id = %s ORDER BY position"""

# Every account whose mails may still go: those of the rotation, and those leads kept.
_SENDERS = """
SELECT a.id, a.hourly_limit, a.daily_limit, a.min_gap_ms, a.warmup_started_on,
       a.warmup_daily_start, a.warmup_growth, a.status = 'active', ca.position
FROM campaign_accounts ca JOIN email_accounts a ON a.id = ca.account_id
WHERE ca.campaign_id = %s ORDER BY ca.position"""


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
        shared=_shared(session, row),
    )


def _shared(session: Session, row: Row) -> Shared:
    """Return what the campaign's app and queue allow; quotas are counted only where there are any."""
    queue, app, a_day, a_month = row[9:13]
    minutes = {Bound.QUEUE: queue, Bound.APP: app}
    quotas: list[Quota] = []
    if a_day or a_month:
        used = usage(session, row[0])
        if a_day:
            quotas.append(Quota(bound=Bound.APP_DAY, mails=a_day, used=used.today))
        if a_month:
            quotas.append(Quota(bound=Bound.APP_MONTH, mails=a_month, used=used.this_month))
    per_minute = {bound: mails for bound, mails in minutes.items() if mails}
    return Shared(per_minute=per_minute, quotas=tuple(quotas))


def _recent(session: Session, app_id: UUID, account_id: UUID) -> dict[int, int]:
    counted = recent_attempts(session, app_id, account_id)
    return {millis(at) // 60_000: mails for at, mails in counted.items()}


# As the start would enrol them (app/campaigns/enrolments), in the same turns.
_OF_DRAFT = """
SELECT l.id, l.timezone, row_number() OVER (ORDER BY l.id) - 1
FROM leads l JOIN campaigns c ON c.app_id = l.app_id
WHERE c.id = %(campaign)s AND l.status = 'active' AND l.variables @> c.audience
  AND NOT EXISTS (SELECT FROM suppression_list x WHERE x.email_hash = l.email_hash
                  AND (x.app_id = l.app_id OR x.app_id IS NULL))
ORDER BY l.id"""

# Enrolments under way, and finished ones whose last mail still waits. psycopg reads no infinity:
# a parked mail has no time, and counts as due when the campaign goes on.
_UNDER_WAY = """
SELECT n.lead_id, coalesce(m.account_id, n.account_id), l.timezone, n.steps_planned - n.repeated,
       n.due_at, m.status, CASE WHEN m.due_at < 'infinity' THEN m.due_at END, m.sent_at,
       m.window_closes_at, n.due_at IS NOT NULL
FROM enrolments n JOIN leads l ON l.id = n.lead_id
LEFT JOIN emails m ON m.id = n.last_email_id AND m.campaign_id = n.campaign_id
WHERE n.campaign_id = %(campaign)s AND l.status = 'active'
  AND (n.due_at IS NOT NULL OR m.status IN ('scheduled', 'unknown'))
ORDER BY coalesce(m.due_at, n.due_at), n.id"""


def people(session: Session, found: Setting, now: dt.datetime) -> Iterator[Person]:
    """Yield everybody who is still to get a mail, in the order of their due times."""
    binds = {"campaign": found.campaign_id}
    if found.is_draft:
        accounts = found.active or tuple(found.senders)
        for lead_id, timezone, place in session.execute(_OF_DRAFT, binds, binary=True).fetchall():
            yield Person(
                lead_id=lead_id,
                account_id=accounts[place % len(accounts)],
                timezone=timezone,
                position=0,
                due_at=found.starts_at,
                closes_at=None,
                is_planned=False,
                goes_on=True,
            )
        return
    for row in session.execute(_UNDER_WAY, binds, binary=True).fetchall():
        person = _under_way(row, found, now)
        if person is not None:
            yield person


def _under_way(row: Row, found: Setting, now: dt.datetime) -> Person | None:
    lead_id, account_id, timezone, position, look_at, status, due_at, sent_at, closes_at, on = row
    planned = status == "scheduled"
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
    return Person(
        lead_id=lead_id,
        account_id=account_id,
        timezone=timezone,
        position=position,
        due_at=when,
        closes_at=closes_at if planned else None,
        is_planned=planned,
        goes_on=on,
    )


def _wait(found: Setting, position: int) -> dt.timedelta:
    return found.waits[position] if position < len(found.waits) else dt.timedelta()


_RIVALS = """
SELECT account_id, priority, due_at FROM emails
WHERE account_id = ANY(%(accounts)s) AND due_at IS NOT NULL AND due_at < 'infinity'
  AND campaign_id IS DISTINCT FROM %(campaign)s
ORDER BY account_id, priority DESC, due_at LIMIT %(limit)s"""


def rivals(session: Session, found: Setting) -> list[Wanted]:
    """Return the waiting mails of others that go through the same accounts (index emails_due)."""
    binds = {
        "accounts": list(found.senders),
        "campaign": found.campaign_id,
        "limit": _MOST_RIVALS,
    }
    numbers = {account_id: number for number, account_id in enumerate(found.senders)}
    return [
        Wanted(
            sender=numbers[row[0]],
            person=None,
            position=0,
            slot=(millis(row[2]), None),
            priority=row[1],
        )
        for row in session.execute(_RIVALS, binds, binary=True).fetchall()
    ]
