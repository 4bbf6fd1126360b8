"""Who moves a staged release: the clock by the rules, a person against them.

A brake is a pause by the clock with its reason: the person resumes the campaign, which lets all of it
go, or cancels it.
"""

import datetime as dt
from uuid import UUID

from app.analytics import conduct, reports
from app.audit import AuditEntry, Author, record
from app.campaigns import campaigns, stages, windows
from app.campaigns.campaigns import CLOCK, Campaign, Status
from app.campaigns.stages import StageRow
from app.campaigns.staging import Phase, Sight, Step, step
from app.db.session import Session
from app.errors import Conflict
from app.lifecycle import notices
from app.policy.reputation import Thresholds


def watch(
    session: Session, app_id: UUID, name: str, limits: Thresholds, now: dt.datetime
) -> Step | None:
    """Look at the first mails of a campaign; go on or brake. Return what was decided, if anything."""
    with session.transaction():
        campaign, row = _locked(session, app_id, name)
        if row is None or campaign.status is not Status.RUNNING:
            return None
        decided = step(row.stage, _sight(session, campaign, now), limits, now)
        if decided is None or not stages.move(
            session, campaign.id, decided.phase, decided.reason, now
        ):
            return None
        if decided.phase is Phase.OPEN:
            windows.respect(session, campaign.id, now)
        if decided.phase is Phase.BRAKED:
            campaigns.pause(session, app_id, name, CLOCK, now)
        _tell(session, campaign, decided, CLOCK)
    return decided


# The campaign before its stage, as passes, starts and resumes do.
_LOCK = "SELECT FROM campaigns WHERE app_id = %s AND name = %s FOR NO KEY UPDATE"


def _locked(session: Session, app_id: UUID, name: str) -> tuple[Campaign, StageRow | None]:
    session.execute(_LOCK, (app_id, name))
    campaign = campaigns.get(session, app_id, name)
    return campaign, stages.locked(session, campaign.id)


def _sight(session: Session, campaign: Campaign, now: dt.datetime) -> Sight:
    first = reports.funnel(session, campaign.id).steps[0].counts
    ended = first.failed + first.suppressed + first.cancelled + first.expired + first.unknown
    return Sight(
        settled=first.sent + ended,
        conduct=conduct.of_campaign(session, campaign.id),
        baseline=lambda: conduct.besides(session, campaign.app_id, campaign.id, now),
    )


def go_on(session: Session, app_id: UUID, name: str, author: Author, now: dt.datetime) -> Campaign:
    """Let all of a campaign go though its first stage is still watched; raises Conflict.

    A braked one is resumed, which does the same.
    """
    with session.transaction():
        campaign, row = _locked(session, app_id, name)
        if row is None or row.phase not in {Phase.FIRST, Phase.WATCHED, Phase.BRAKED}:
            raise Conflict(
                f"No stage of '{name}' keeps mail back.",
                why=f"Its release is {row.phase}." if row else "It is not released in stages.",
                fix="Nothing has to be done.",
            )
        if campaign.status is Status.PAUSED:
            stages.move(session, campaign.id, Phase.OPEN, f"overruled by {author.name}", now)
            return campaigns.resume(session, app_id, name, author, now)
        decided = Step(phase=Phase.OPEN, reason=f"overruled by {author.name}")
        stages.move(session, campaign.id, decided.phase, decided.reason, now)
        windows.respect(session, campaign.id, now)
        _tell(session, campaign, decided, author)
        return campaign


_ACTIONS = {
    Phase.WATCHED: "campaign.stage_watched",
    Phase.OPEN: "campaign.stage_opened",
    Phase.BRAKED: "campaign.braked",
}


def _tell(session: Session, campaign: Campaign, decided: Step, author: Author) -> None:
    """Audit a move; tell webhooks of one that decides."""
    facts = {"phase": str(decided.phase), "reason": decided.reason}
    entry = AuditEntry(
        app_id=campaign.app_id,
        author=author,
        action=_ACTIONS[decided.phase],
        target_kind="campaign",
        target_id=campaign.id,
        after=facts,
    )
    record(session, entry)
    if decided.phase is not Phase.WATCHED:
        told = facts | {"campaign_id": str(campaign.id), "by": author.name}
        notices.tell(session, campaign.app_id, notices.REPUTATION, told)
