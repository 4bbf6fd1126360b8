"""Send to exactly those who did not get it: a finished or cancelled campaign goes on where it broke.

Each enrolment that was cut short becomes active again. Where its last mail failed, expired or was
cancelled with the campaign, that step is planned once more, as a new mail of the same enrolment
and step; the old one keeps its state, so the ledger counts both. Nobody gets a step twice: who has
a mail goes on with the step after it. Left out are people who unsubscribed, bounced, complained,
replied, or are suppressed.
"""

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from app.audit import AuditEntry, Author, record
from app.campaigns import campaigns, stages
from app.campaigns.campaigns import Campaign, Status
from app.campaigns.staging import Phase
from app.db.session import Row, Session
from app.errors import Conflict
from app.ids import new_ids
from app.lifecycle import events
from app.lifecycle.events import TimelineEvent
from app.lifecycle.states import State
from app.policy.suppression import LEAD_SUPPRESSED_SQL

_ENDED = (Status.FINISHED, Status.CANCELLED)
_UNDECIDED = (State.SCHEDULED, State.QUEUED, State.SENDING, State.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What goes on: people in all, and for how many of them a mail is planned once more."""

    campaign: Campaign
    people: int
    again: int


def send_rest(session: Session, app_id: UUID, name: str, author: Author, now: dt.datetime) -> Rest:
    """Let everybody who did not get all of an ended campaign get the rest, inside its windows.

    Doing it twice adds nothing. Raises Conflict while the campaign runs, or while the fate of any
    of its mails is undecided: whoever may have it must not get it again.
    """
    with session.transaction():
        campaign = _locked(session, campaigns.get(session, app_id, name))
        _require_decided(session, campaign)
        rows = session.execute(_REVIVE, {"campaign": campaign.id, "now": now}).fetchall()
        if rows:
            events.append(session, _traces(campaign, rows, author, now))
            session.execute(_RUN_AGAIN, (campaign.id,))
            stages.move(session, campaign.id, Phase.OPEN, f"overruled by {author.name}", now)
            record(session, _entry(campaign, len(rows), author))
        moved = campaigns.get(session, app_id, name)
    return Rest(campaign=moved, people=len(rows), again=sum(1 for row in rows if row[1]))


def _locked(session: Session, campaign: Campaign) -> Campaign:
    """Return the campaign, locked: of two calls at once the second finds it running."""
    row = session.execute(
        "SELECT status FROM campaigns WHERE id = %s FOR UPDATE", (campaign.id,)
    ).fetchone()
    status = row[0] if row else campaign.status
    if status not in _ENDED:
        raise Conflict(
            f"The campaign '{campaign.name}' has no rest yet.",
            why=f"It is {status}; only a finished or cancelled one has people left out for good.",
            fix=f"Wait for its end, or cancel it: mailqueue campaign cancel '{campaign.name}'",
        )
    return campaign


def _require_decided(session: Session, campaign: Campaign) -> None:
    rows = session.execute(
        "SELECT status, count(*) FROM emails WHERE campaign_id = %s AND status = ANY(%s) "
        "GROUP BY status",
        (campaign.id, [str(state) for state in _UNDECIDED]),
    ).fetchall()
    found = Counter({State(row[0]): int(row[1]) for row in rows})
    if unknown := found.pop(State.UNKNOWN, 0):
        raise Conflict(
            f"It is unknown whether {unknown:,} mails of '{campaign.name}' arrived.",
            why="Who may have the mail must not get it again.",
            fix="Decide them first: count them as sent, or as not sent.",
        )
    if waiting := found.total():
        raise Conflict(
            f"{waiting:,} mails of '{campaign.name}' are still on their way.",
            fix="Wait until each of them has an end.",
        )


# What ended each enrolment: its last mail, or the cancel in between two steps. A mail cancelled
# for another reason (a reply) is no mail that went missing.
_REVIVE = f"""
WITH cut AS (
  SELECT n.id, m.id AS email_id,
         m.status IN ('failed', 'expired', 'cancelled') AS is_missed
  FROM enrolments n
  JOIN leads l ON l.id = n.lead_id
  LEFT JOIN emails m ON m.id = n.last_email_id AND m.campaign_id = n.campaign_id
  WHERE n.campaign_id = %(campaign)s AND n.due_at IS NULL AND l.status = 'active'
    AND (n.status = 'finished' OR n.stop_reason LIKE 'the mail before was %%'
         OR n.stop_reason = 'campaign cancelled')
    AND (m.status IN ('failed', 'expired')
         OR m.status = 'cancelled' AND m.reason = 'campaign cancelled'
         OR n.stop_reason = 'campaign cancelled'
            AND (m.id IS NULL OR m.status IN ('sent', 'delivered'))
            AND n.steps_planned - n.repeated < (
              SELECT count(*) FROM campaign_sequence_steps s WHERE s.campaign_id = n.campaign_id))
    AND NOT {LEAD_SUPPRESSED_SQL}),
revived AS (
  UPDATE enrolments n SET status = 'active', stop_reason = NULL, due_at = %(now)s,
         repeated = n.repeated + CASE WHEN cut.is_missed THEN 1 ELSE 0 END,
         last_email_id = CASE WHEN cut.is_missed THEN NULL ELSE n.last_email_id END
  FROM cut WHERE n.id = cut.id
  RETURNING n.id, CASE WHEN cut.is_missed THEN cut.email_id END AS email_id)
SELECT id, email_id FROM revived"""  # noqa: S608 - constants

_RUN_AGAIN = "UPDATE campaigns SET status = 'running', finished_at = NULL WHERE id = %s"


def _traces(
    campaign: Campaign, rows: list[Row], author: Author, now: dt.datetime
) -> list[TimelineEvent]:
    """Return a line for the timeline of each mail that is planned once more."""
    missed = [row for row in rows if row[1]]
    return [
        TimelineEvent(
            email_id=email_id,
            event_id=UUID(event_id),
            app_id=campaign.app_id,
            type="planned_again",
            data={"by": author.name, "enrolment": str(enrolment_id)},
            at=now,
        )
        for (enrolment_id, email_id), event_id in zip(
            missed, new_ids(len(missed), now), strict=True
        )
    ]


def _entry(campaign: Campaign, people: int, author: Author) -> AuditEntry:
    return AuditEntry(
        app_id=campaign.app_id,
        author=author,
        action="campaign.rest_started",
        target_kind="campaign",
        target_id=campaign.id,
        before={"status": str(campaign.status)},
        after={"name": campaign.name, "status": str(Status.RUNNING), "people": people},
    )
