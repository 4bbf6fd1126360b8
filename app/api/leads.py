"""Leads: the people campaigns write to."""

import datetime as dt
import io
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.paging import Page, PageQuery, page
from app.audit import AuditEntry, record
from app.campaigns import leads, leads_csv, leads_import
from app.campaigns.leads import GivenLead, Lead
from app.campaigns.leads_csv import LeadRow
from app.campaigns.leads_import import Audience, RowsResult
from app.mail.address import normalise
from app.privacy import address_hash
from app.tenancy.scopes import Scope

routes = Routes("leads", about="Recipients with their variables and timezones.")

_MOST = 10_000
_BODY_BYTES = 30_000_000

Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]


class LeadBody(BaseModel):
    """One lead to add."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: Annotated[str, Field(max_length=320)]
    timezone: Annotated[str | None, Field(max_length=64)] = None
    variables: Annotated[dict[str, Any], Field(max_length=500)] = {}


class LeadsBody(BaseModel):
    """Leads to add, at most 10,000 at once."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    leads: Annotated[list[LeadBody], Field(min_length=1, max_length=_MOST)]


class LeadView(BaseModel):
    """A lead as it stands."""

    id: UUID
    company_id: UUID | None
    email: str
    timezone: str | None
    variables: dict[str, Any]
    status: str
    created_at: dt.datetime


class LeadQuery(PageQuery):
    """Which leads."""

    status: Literal["active", "unsubscribed", "bounced", "complained"] | None = None
    email: Address | None = None


class RejectView(BaseModel):
    """A row that was not added: `line` of the file, or its place in `leads`, from 1."""

    line: int
    email: str
    reason: str


class ImportedView(BaseModel):
    """What became of the rows; at most 1,000 of the rejected ones are listed."""

    rows: int
    added: int
    rejected: int
    rejects: list[RejectView]


@routes.post("/v1/leads", needs=Scope.CAMPAIGN_MANAGE, body_bytes=_BODY_BYTES)
def add_leads(call: Call, body: LeadsBody) -> ImportedView:
    """Add leads; invalid, double and suppressed ones are reported. A second time adds nothing."""
    given = [
        GivenLead(email=lead.email, timezone=lead.timezone, variables=lead.variables)
        for lead in body.leads
    ]
    return _imported(call, leads.checked(given))


@routes.post(
    "/v1/leads/import", needs=Scope.CAMPAIGN_MANAGE, accepts="text/csv", body_bytes=_BODY_BYTES
)
def import_leads(call: Call, body: bytes) -> ImportedView:
    """Add the leads of a CSV file: a column `email`, optionally `timezone`; others are variables.

    A file that cannot be read imports nothing and names its line.
    """
    return _imported(call, leads_csv.read(io.BytesIO(body)))


@routes.get("/v1/leads", needs=Scope.EMAIL_READ)
def list_leads(call: Call, query: LeadQuery) -> Page[LeadView]:
    """List leads, the newest first."""
    digest = None if query.email is None else _hash(call, query.email)
    rows = leads.list_page(
        call.session,
        call.app_id,
        status=query.status,
        hash=digest,
        after=query.after_id,
        limit=query.limit + 1,
    )
    return page(rows, query, _view, lambda lead: lead.id)


@routes.get("/v1/leads/{lead_id}", needs=Scope.EMAIL_READ)
def get_lead(call: Call, lead_id: UUID) -> LeadView:
    """Show a lead."""
    return _view(leads.get(call.session, call.app_id, lead_id))


@routes.delete("/v1/leads/{lead_id}", needs=Scope.CAMPAIGN_MANAGE)
def delete_lead(call: Call, lead_id: UUID) -> None:
    """Delete a lead. To erase a person from everywhere, use /v1/gdpr."""
    leads.delete(call.session, call.app_id, lead_id)
    _note(call, "lead.deleted", str(lead_id), None)


def _imported(call: Call, rows: Iterator[LeadRow]) -> ImportedView:
    pepper = call.settings.address_pepper.get_secret_value()
    done = leads_import.import_rows(call.session, Audience(app_id=call.app_id, pepper=pepper), rows)
    _note(call, "leads.imported", "list", done)
    return ImportedView(
        rows=done.rows,
        added=done.added,
        rejected=done.rejected,
        rejects=[RejectView(line=r.line, email=r.email, reason=r.reason) for r in done.rejects],
    )


def _note(call: Call, action: str, target: str, done: RowsResult | None) -> None:
    after = None if done is None else {"rows": done.rows, "added": done.added}
    record(
        call.session,
        AuditEntry(
            app_id=call.app_id,
            author=call.author,
            action=action,
            target_kind="lead",
            target_id=target,
            after=after,
        ),
    )


def _hash(call: Call, email: str) -> bytes:
    return address_hash(normalise(email), call.settings.address_pepper.get_secret_value())


def _view(lead: Lead) -> LeadView:
    return LeadView(**{name: getattr(lead, name) for name in LeadView.model_fields})
