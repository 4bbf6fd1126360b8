"""Campaigns: described whole, started, paused, resumed, cancelled; how far they are and will be."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from app.analytics import reports
from app.api.call import Call
from app.api.endpoint import Routes, Unit
from app.api.forms import View
from app.api.paging import Page, PageQuery, page
from app.api.views import CountsView, LedgerView, counts_view, ledger_view
from app.audit import Author
from app.campaigns import brakes, browse, campaigns, enrolments, outlook, rest, stages
from app.campaigns.campaigns import Campaign, Status
from app.campaigns.definition import CampaignDefinition
from app.campaigns.staging import Phase
from app.db.session import Session
from app.lifecycle import ledger
from app.tenancy.scopes import Scope

routes = Routes("campaigns", about="A sequence of templates for an audience of leads.")

_RATE_MINUTES = 5

Move = Callable[[Session, UUID, str, Author, dt.datetime], Campaign]


class CampaignView(BaseModel):
    """A campaign as it stands."""

    id: UUID
    name: str
    status: Status
    steps: int
    priority: int
    timezone: str
    scheduled_at: dt.datetime | None
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


class CampaignQuery(PageQuery):
    """Which campaigns."""

    status: Status | None = None


class StepView(BaseModel):
    """One step of the sequence."""

    position: int
    counts: CountsView


class AccountView(BaseModel):
    """What one sending account did."""

    address: str
    counts: CountsView


class StageView(View):
    """How far the staged release of a campaign is, and why it moved last."""

    phase: Phase
    percent: float
    least: int
    size: int | None = Field(description="Mails that go first; null before the start.")
    admitted: int = Field(description="Of these are planned.")
    watched_until: dt.datetime | None
    decided_at: dt.datetime | None
    reason: str | None


class ProgressView(BaseModel):
    """How far a campaign is."""

    campaign: CampaignView
    leads: dict[str, int] = Field(description="People by the status of their enrolment.")
    total: CountsView
    steps: list[StepView]
    accounts: list[AccountView]
    sent_per_minute: float = Field(description="Mean of the last five minutes.")
    stage: StageView | None = Field(description="Null: it is released whole.")
    ends_at: dt.datetime | None = Field(description="By the latest forecast; null when unknown.")


class RestView(BaseModel):
    """Who goes on: `again` of the people get a mail once more that did not reach them."""

    campaign: CampaignView
    people: int
    again: int


class HourView(BaseModel):
    """How many mails go in the hour that begins at `at`."""

    at: dt.datetime
    mails: int


class ForecastView(BaseModel):
    """When the mails still to go will go, and which limit keeps them back until when."""

    computed_at: dt.datetime
    mails: int
    held: int
    ends_at: dt.datetime | None
    steps: list[dict[str, Any]]
    limits: list[dict[str, Any]]
    by_hour: list[HourView]
    at_start: dict[str, Any] | None


@routes.post("/v1/campaigns", needs=Scope.CAMPAIGN_MANAGE, status=HTTPStatus.CREATED)
def create_campaign(call: Call, body: CampaignDefinition) -> CampaignView:
    """Store a campaign as a draft, whole or not at all.

    Accounts, queue and templates are named; `scheduled_at` without an offset is local time.
    """
    return _view(campaigns.create(call.session, call.app_id, body, call.author))


@routes.get("/v1/campaigns", needs=Scope.EMAIL_READ)
def list_campaigns(call: Call, query: CampaignQuery) -> Page[CampaignView]:
    """List campaigns, the newest first."""
    rows = browse.list_page(
        call.session,
        call.app_id,
        status=query.status,
        after=query.after_id,
        limit=query.limit + 1,
    )
    return page(rows, query, _view, lambda row: row.id)


@routes.get("/v1/campaigns/{campaign_id}", needs=Scope.EMAIL_READ)
def get_campaign(call: Call, campaign_id: UUID) -> CampaignView:
    """Show a campaign."""
    return _view(browse.by_id(call.session, call.app_id, campaign_id))


@routes.get("/v1/campaigns/{campaign_id}/progress", needs=Scope.EMAIL_READ)
def campaign_progress(call: Call, campaign_id: UUID) -> ProgressView:
    """Show how far a campaign is: its funnel, its rate, its end."""
    found = browse.by_id(call.session, call.app_id, campaign_id)
    funnel = reports.funnel(call.session, found.id)
    recent = reports.sent_since(
        call.session, found.id, call.now - dt.timedelta(minutes=_RATE_MINUTES)
    )
    return ProgressView(
        campaign=_view(found),
        leads=enrolments.by_status(call.session, found.id),
        total=counts_view(funnel.total),
        steps=[StepView(position=s.position, counts=counts_view(s.counts)) for s in funnel.steps],
        accounts=[
            AccountView(address=one.address, counts=counts_view(one.counts))
            for one in reports.by_account(call.session, found.id)
        ],
        sent_per_minute=recent / _RATE_MINUTES,
        stage=_stage(call.session, found.id),
        ends_at=outlook.latest_end(call.session, found.id),
    )


@routes.get("/v1/campaigns/{campaign_id}/forecast", needs=Scope.EMAIL_READ, unit=Unit.OWN)
def campaign_forecast(call: Call, campaign_id: UUID) -> ForecastView:
    """Say when each mail will go, which limit binds, and when it ends. The real planner says it."""
    found = _owned(call, campaign_id)
    document = outlook.outlook(call.session, found.id, call.now).document()
    hours = [HourView(at=at, mails=mails) for at, mails in document.pop("by_hour")]
    return ForecastView(
        at_start=outlook.at_start(call.session, found.id), by_hour=hours, **document
    )


@routes.get("/v1/campaigns/{campaign_id}/ledger", needs=Scope.EMAIL_READ, unit=Unit.OWN)
def campaign_ledger(call: Call, campaign_id: UUID) -> LedgerView:
    """Balance the books: everybody planned is sent, stopped for a reason, unknown or waiting."""
    return ledger_view(ledger.of_campaign(call.session, _owned(call, campaign_id).id))


@routes.post("/v1/campaigns/{campaign_id}/start", needs=Scope.CAMPAIGN_MANAGE, unit=Unit.OWN)
def start_campaign(call: Call, campaign_id: UUID) -> CampaignView:
    """Enrol the audience and run, at once or at `scheduled_at`."""
    call.require_live()
    return _moved(call, campaign_id, campaigns.start)


@routes.post("/v1/campaigns/{campaign_id}/pause", needs=Scope.CAMPAIGN_MANAGE, unit=Unit.OWN)
def pause_campaign(call: Call, campaign_id: UUID) -> CampaignView:
    """Keep every mail back that is not at the server yet."""
    return _moved(call, campaign_id, campaigns.pause)


@routes.post("/v1/campaigns/{campaign_id}/resume", needs=Scope.CAMPAIGN_MANAGE, unit=Unit.OWN)
def resume_campaign(call: Call, campaign_id: UUID) -> CampaignView:
    """Go on with a paused campaign, inside its sending windows."""
    call.require_live()
    return _moved(call, campaign_id, campaigns.resume)


@routes.post("/v1/campaigns/{campaign_id}/go-on", needs=Scope.CAMPAIGN_MANAGE, unit=Unit.OWN)
def let_campaign_go_on(call: Call, campaign_id: UUID) -> CampaignView:
    """Let all of a campaign go whose first stage is watched, or whose release was braked."""
    call.require_live()
    return _moved(call, campaign_id, brakes.go_on)


@routes.post("/v1/campaigns/{campaign_id}/cancel", needs=Scope.CAMPAIGN_MANAGE, unit=Unit.OWN)
def cancel_campaign(call: Call, campaign_id: UUID) -> CampaignView:
    """End a campaign for good; what is sent is sent."""
    return _moved(call, campaign_id, campaigns.cancel)


@routes.post("/v1/campaigns/{campaign_id}/send-rest", needs=Scope.CAMPAIGN_MANAGE, unit=Unit.OWN)
def send_rest(call: Call, campaign_id: UUID) -> RestView:
    """Send an ended campaign to exactly those who did not get it."""
    call.require_live()
    found = _owned(call, campaign_id)
    done = rest.send_rest(call.session, call.app_id, found.name, call.author, call.now)
    return RestView(campaign=_view(done.campaign), people=done.people, again=done.again)


def _owned(call: Call, campaign_id: UUID) -> Campaign:
    """Return a campaign behind the wall of row-level security; raises NotFound."""
    with call.tenant() as session:
        return browse.by_id(session, call.app_id, campaign_id)


def _stage(session: Session, campaign_id: UUID) -> StageView | None:
    found = stages.find(session, campaign_id)
    return None if found is None else StageView.model_validate(found)


def _moved(call: Call, campaign_id: UUID, move: Move) -> CampaignView:
    found = _owned(call, campaign_id)
    return _view(move(call.session, call.app_id, found.name, call.author, call.now))


def _view(found: Campaign) -> CampaignView:
    return CampaignView(
        **{
            field.name: getattr(found, field.name)
            for field in dataclasses.fields(found)
            if field.name in CampaignView.model_fields
        }
    )
