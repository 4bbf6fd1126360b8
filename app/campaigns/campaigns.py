"""Campaigns: created whole from a definition, moved only along the legal ways, each move audited.

draft -> scheduled -> running -> finished; running and scheduled can be paused and resumed; all but
finished can be cancelled. A start enrols the audience in one statement.
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from app.audit import AuditEntry, Author, record
from app.campaigns import drafting, enrolments, outlook, stages, windows
from app.campaigns.definition import CampaignDefinition
from app.campaigns.staging import Phase
from app.db.session import Session
from app.errors import Conflict
from app.lifecycle import transitions
from app.lifecycle.ledger import Ledger, of_campaign
from app.lifecycle.states import State
from app.log import Event, logger
from app.tenancy import checks

CLOCK = Author(name="clock")


class Status(StrEnum):
    """Where a campaign is."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


_RUNNING_FROM = (Status.DRAFT, Status.SCHEDULED, Status.PAUSED)

# Which states a move may start from.
SOURCES: dict[Status, tuple[Status, ...]] = {
    Status.DRAFT: (),
    Status.SCHEDULED: (Status.DRAFT, Status.PAUSED),
    Status.RUNNING: _RUNNING_FROM,
    Status.PAUSED: (Status.SCHEDULED, Status.RUNNING),
    Status.FINISHED: (Status.RUNNING,),
    Status.CANCELLED: (*_RUNNING_FROM, Status.RUNNING),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign as it stands."""

    id: UUID
    app_id: UUID
    name: str
    status: Status
    scheduled_at: dt.datetime | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    timezone: str
    priority: int
    steps: int
    audience: dict[str, Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "status", Status(self.status))

    def starts_after(self, now: dt.datetime) -> bool:
        """Tell whether the campaign's time has not come yet."""
        return self.scheduled_at is not None and self.scheduled_at > now


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a campaign is: its leads by status, and the balance of its mails."""

    campaign: Campaign
    leads: dict[str, int]
    ledger: Ledger


def create(
    session: Session, app_id: UUID, definition: CampaignDefinition, author: Author
) -> Campaign:
    """Store a campaign as a draft, whole or not at all.

    Raises NotFound naming the queue, account or template that is missing, Conflict when the name
    is taken.
    """
    with checks.unique("campaign", definition.name), session.transaction():
        drafting.store(session, app_id, definition)
        made = get(session, app_id, definition.name)
        record(session, _entry(made, "campaign.created", None, author))
    return made


SELECT = """
SELECT c.id, c.app_id, c.name, c.status, c.scheduled_at, c.started_at, c.finished_at, c.timezone,
       c.priority, c.audience,
       (SELECT count(*) FROM campaign_sequence_steps s WHERE s.campaign_id = c.id) AS steps
FROM campaigns c WHERE c.app_id = %(app)s"""


def get(session: Session, app_id: UUID, name: str) -> Campaign:
    """Return a campaign of the app by its name; raises NotFound."""
    binds = {"app": app_id, "name": name}
    cursor = session.cursor(row_factory=class_row(Campaign))
    found = cursor.execute(f"{SELECT} AND c.name = %(name)s", binds).fetchone()
    if found is None:
        known = [campaign.name for campaign in list_all(session, app_id)]
        raise checks.not_found("campaign", name, known)
    return found


def list_all(session: Session, app_id: UUID) -> list[Campaign]:
    """Return the campaigns of the app, the newest first."""
    cursor = session.cursor(row_factory=class_row(Campaign))
    return cursor.execute(f"{SELECT} ORDER BY c.id DESC", {"app": app_id}).fetchall()


def show(session: Session, app_id: UUID, name: str) -> Progress:
    """Return how far a campaign is; raises NotFound."""
    campaign = get(session, app_id, name)
    leads = enrolments.by_status(session, campaign.id)
    return Progress(campaign=campaign, leads=leads, ledger=of_campaign(session, campaign.id))


def start(session: Session, app_id: UUID, name: str, author: Author, now: dt.datetime) -> Campaign:
    """Enrol the audience; run at once, or at `scheduled_at` when that lies ahead.

    Raises Conflict when the campaign was started before or nobody would get it.
    """
    with session.transaction():
        campaign = get(session, app_id, name)
        target = Status.SCHEDULED if campaign.starts_after(now) else Status.RUNNING
        moved = _moved(session, campaign, target, (Status.DRAFT,), now)
        leads = enrolments.enrol(session, campaign.id, max(now, campaign.scheduled_at or now))
        if leads == 0:
            raise Conflict(
                f"The campaign '{name}' would reach nobody.",
                why="No active lead of this app belongs to its audience.",
                fix="Import leads with `mailqueue leads import`, or widen `audience`.",
            )
        stages.begin(session, campaign.id, leads)
        record(session, _entry(moved, "campaign.started", campaign, author))
    outlook.remember_start(session, campaign.id, now)
    logger().info(Event.CAMPAIGN_STARTED, campaign=str(campaign.id), status=target, leads=leads)
    return moved


def pause(session: Session, app_id: UUID, name: str, author: Author, now: dt.datetime) -> Campaign:
    """Keep every mail of the campaign back until it is resumed; raises Conflict."""
    with session.transaction():
        campaign = get(session, app_id, name)
        moved = _moved(session, campaign, Status.PAUSED, SOURCES[Status.PAUSED], now)
        transitions.park(session, campaign.id)
        record(session, _entry(moved, "campaign.paused", campaign, author))
    return moved


def resume(session: Session, app_id: UUID, name: str, author: Author, now: dt.datetime) -> Campaign:
    """Go on with a paused campaign, inside its windows and against a brake; raises Conflict."""
    with session.transaction():
        campaign = get(session, app_id, name)
        target = Status.SCHEDULED if campaign.starts_after(now) else Status.RUNNING
        moved = _moved(session, campaign, target, (Status.PAUSED,), now)
        transitions.unpark(session, campaign.id)
        if (staged := stages.find(session, campaign.id)) and staged.phase is Phase.BRAKED:
            stages.move(session, campaign.id, Phase.OPEN, f"overruled by {author.name}", now)
        windows.respect(session, campaign.id, now)
        record(session, _entry(moved, "campaign.resumed", campaign, author))
    return moved


def cancel(session: Session, app_id: UUID, name: str, author: Author, now: dt.datetime) -> Campaign:
    """End a campaign for good: waiting mails are cancelled, what is sent is sent; raises Conflict."""
    with session.transaction():
        campaign = get(session, app_id, name)
        moved = _moved(session, campaign, Status.CANCELLED, SOURCES[Status.CANCELLED], now)
        enrolments.stop_all(session, campaign.id, "campaign cancelled")
        transitions.stop_campaign(
            session, campaign.id, target=State.CANCELLED, reason="campaign cancelled"
        )
        record(session, _entry(moved, "campaign.cancelled", campaign, author))
    return moved


_START_DUE = """
UPDATE campaigns SET status = 'running', started_at = %(now)s
WHERE status = 'scheduled' AND scheduled_at <= %(now)s RETURNING id, app_id"""


def start_due(session: Session, now: dt.datetime) -> int:
    """Run the scheduled campaigns whose time has come; return how many."""
    return _moved_by_clock(session, _START_DUE, Event.CAMPAIGN_STARTED, {"now": now})


# Asked at every pass, so only of short lists: leads under way (enrolments_due), released chunks, and
# what the campaign's accounts have scheduled (emails_due). The LIMITs and the DISTINCT keep the planner
# from reading every mail of a campaign whose next step is days away.
_DONE = """
SELECT c.id FROM campaigns c
WHERE c.status = 'running'
  AND (SELECT true FROM enrolments e
       WHERE e.campaign_id = c.id AND e.due_at IS NOT NULL LIMIT 1) IS NULL
  AND (SELECT true FROM released_chunks r
       WHERE r.remaining > 0 AND r.payload->>'campaign_id' = c.id::text LIMIT 1) IS NULL
  AND (SELECT true FROM campaign_accounts a CROSS JOIN LATERAL (
         SELECT FROM emails m WHERE m.account_id = a.account_id AND m.priority = c.priority
         AND m.due_at IS NOT NULL AND m.campaign_id IS NOT DISTINCT FROM c.id LIMIT 1) w
       WHERE a.campaign_id = c.id LIMIT 1) IS NULL"""

# Those that seem done are asked once more, mail by mail.
_FINISH = """
UPDATE campaigns c SET status = 'finished', finished_at = %(now)s
WHERE c.id = ANY(%(ids)s) AND c.status = 'running'
  AND NOT EXISTS (SELECT FROM enrolments e WHERE e.campaign_id = c.id AND e.due_at IS NOT NULL)
  AND NOT EXISTS (
    SELECT FROM (SELECT FROM emails m WHERE m.campaign_id = c.id
                 AND m.status IN ('scheduled', 'queued', 'sending') ORDER BY m.id DESC LIMIT 1) w)
RETURNING c.id, c.app_id"""


def finish_campaigns(session: Session, now: dt.datetime) -> int:
    """Close the running campaigns with no lead under way and no mail waiting; return how many."""
    done = [row[0] for row in session.execute(_DONE).fetchall()]
    if not done:
        return 0
    return _moved_by_clock(session, _FINISH, Event.CAMPAIGN_FINISHED, {"now": now, "ids": done})


def _moved_by_clock(session: Session, statement: str, event: Event, binds: dict[str, Any]) -> int:
    with session.transaction():
        rows = session.execute(statement, binds).fetchall()
        for campaign_id, app_id in rows:
            record(
                session,
                AuditEntry(
                    app_id=app_id,
                    author=CLOCK,
                    action=str(event),
                    target_kind="campaign",
                    target_id=campaign_id,
                ),
            )
    for campaign_id, _ in rows:
        logger().info(event, campaign=str(campaign_id))
    return len(rows)


_MOVE = """
UPDATE campaigns SET status = %(target)s,
       started_at = CASE WHEN %(target)s = 'running' THEN coalesce(started_at, %(now)s)
                    ELSE started_at END,
       finished_at = CASE WHEN %(target)s = 'cancelled' THEN %(now)s ELSE finished_at END
WHERE id = %(id)s AND status = ANY(%(sources)s)"""


def _moved(
    session: Session,
    campaign: Campaign,
    target: Status,
    sources: tuple[Status, ...],
    now: dt.datetime,
) -> Campaign:
    """Move a campaign if it still is in one of `sources`; raises Conflict."""
    binds = {"id": campaign.id, "target": target, "sources": [str(s) for s in sources], "now": now}
    if session.execute(_MOVE, binds).rowcount == 0:
        raise Conflict(
            f"The campaign '{campaign.name}' cannot become {target}.",
            why=f"It is {get(session, campaign.app_id, campaign.name).status}.",
            fix=f"Only a {' or '.join(sources)} campaign can.",
        )
    return get(session, campaign.app_id, campaign.name)


def _entry(moved: Campaign, action: str, before: Campaign | None, author: Author) -> AuditEntry:
    return AuditEntry(
        app_id=moved.app_id,
        author=author,
        action=action,
        target_kind="campaign",
        target_id=moved.id,
        before={"status": str(before.status)} if before else None,
        after={"name": moved.name, "status": str(moved.status)},
    )
