"""`/v1/companies`: groups of accounts, leads and campaigns."""

import datetime as dt
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import Given, View
from app.api.paging import Page, PageQuery, page
from app.tenancy import companies
from app.tenancy.scopes import Scope

routes = Routes("companies", about="Groups of accounts, leads and campaigns inside an app.")


class CompanyBody(Given):
    """A company's name."""

    name: Annotated[str, Field(min_length=1, max_length=100)]


class CompanyView(View):
    """A company as it stands."""

    id: UUID
    name: str
    created_at: dt.datetime


@routes.post("/v1/companies", needs=Scope.CAMPAIGN_MANAGE, status=HTTPStatus.CREATED)
def create_company(call: Call, body: CompanyBody) -> CompanyView:
    """Create a company."""
    made = companies.create(call.session, call.app_id, body.name, call.author)
    return CompanyView.model_validate(made)


@routes.get("/v1/companies", needs=Scope.CAMPAIGN_MANAGE)
def list_companies(call: Call, query: PageQuery) -> Page[CompanyView]:
    """List the companies."""
    rows = companies.list_page(
        call.session, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, CompanyView.model_validate, lambda company: company.id)


@routes.get("/v1/companies/{company_id}", needs=Scope.CAMPAIGN_MANAGE)
def get_company(call: Call, company_id: UUID) -> CompanyView:
    """Show a company."""
    return CompanyView.model_validate(companies.get(call.session, call.app_id, company_id))


@routes.patch("/v1/companies/{company_id}", needs=Scope.CAMPAIGN_MANAGE)
def rename_company(call: Call, company_id: UUID, body: CompanyBody) -> CompanyView:
    """Give a company another name."""
    found = companies.get(call.session, call.app_id, company_id)
    return CompanyView.model_validate(companies.rename(call.session, found, body.name, call.author))


@routes.delete("/v1/companies/{company_id}", needs=Scope.CAMPAIGN_MANAGE)
def delete_company(call: Call, company_id: UUID) -> None:
    """Delete a company that has no members."""
    found = companies.get(call.session, call.app_id, company_id)
    companies.delete(call.session, found, call.author)
