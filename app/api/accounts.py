"""`/v1/email-accounts`: senders: an address, its server, how fast it may, its warm-up."""

import dataclasses
import datetime as dt
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import Given, View
from app.api.paging import Page, PageQuery, page
from app.tenancy import email_accounts
from app.tenancy.email_accounts import NewAccount
from app.tenancy.scopes import Scope

routes = Routes("email-accounts", about="Senders: an address, its server, and how fast it may.")

Address = Annotated[str, Field(min_length=3, max_length=320)]
Line = Annotated[str, Field(max_length=200)]
Limit = Annotated[int, Field(ge=1, le=10_000_000)] | None
Gap = Annotated[int, Field(ge=0, le=86_400_000, description="Time between two mails, at least.")]
Growth = Annotated[Decimal, Field(ge=Decimal("1.01"), le=10, max_digits=4, decimal_places=2)] | None


class _Settings(Given):
    """What may be set of a sender, at its birth and later."""

    company_id: UUID | None = None
    display_name: Line = ""
    reply_to: Address | None = None
    codes_replies: bool = False
    hourly_limit: Limit = None
    daily_limit: Limit = None
    min_gap_ms: Gap = 0
    warmup_started_on: dt.date | None = None
    warmup_daily_start: Limit = None
    warmup_growth: Growth = None


class AccountBody(_Settings):
    """A sender to create. Warm-up: `warmup_daily_start` mails on its first day, times growth."""

    address: Address
    smtp_config_id: UUID


class AccountChange(_Settings):
    """What is to change; what is left out stays, null takes a limit away."""

    address: Address = ""
    smtp_config_id: UUID = UUID(int=0)


class AccountView(View):
    """A sender as it stands; `status` is active or paused."""

    id: UUID
    address: str
    status: str
    smtp_config_id: UUID
    company_id: UUID | None
    display_name: str
    reply_to: str | None
    codes_replies: bool
    hourly_limit: int | None
    daily_limit: int | None
    min_gap_ms: int
    warmup_started_on: dt.date | None
    warmup_daily_start: int | None
    warmup_growth: float | None
    created_at: dt.datetime


@routes.post("/v1/email-accounts", needs=Scope.SMTP_MANAGE, status=HTTPStatus.CREATED)
def create_email_account(call: Call, body: AccountBody) -> AccountView:
    """Create a sender."""
    new = NewAccount(app_id=call.app_id, **body.model_dump())
    return AccountView.model_validate(email_accounts.create(call.session, new, call.author))


@routes.get("/v1/email-accounts", needs=Scope.SMTP_MANAGE)
def list_email_accounts(call: Call, query: PageQuery) -> Page[AccountView]:
    """List the senders."""
    rows = email_accounts.list_page(
        call.session, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, AccountView.model_validate, lambda account: account.id)


@routes.get("/v1/email-accounts/{account_id}", needs=Scope.SMTP_MANAGE)
def get_email_account(call: Call, account_id: UUID) -> AccountView:
    """Show a sender."""
    return AccountView.model_validate(email_accounts.get(call.session, call.app_id, account_id))


@routes.patch("/v1/email-accounts/{account_id}", needs=Scope.SMTP_MANAGE)
def change_email_account(call: Call, account_id: UUID, body: AccountChange) -> AccountView:
    """Change a sender, also while it sends."""
    found = email_accounts.get(call.session, call.app_id, account_id)
    changed = dataclasses.replace(found, **body.said())
    return AccountView.model_validate(email_accounts.update(call.session, changed, call.author))


@routes.delete("/v1/email-accounts/{account_id}", needs=Scope.SMTP_MANAGE)
def delete_email_account(call: Call, account_id: UUID) -> None:
    """Delete a sender that never sent."""
    found = email_accounts.get(call.session, call.app_id, account_id)
    email_accounts.delete(call.session, found, call.author)


@routes.post("/v1/email-accounts/{account_id}/pause", needs=Scope.SMTP_MANAGE)
def pause_email_account(call: Call, account_id: UUID) -> AccountView:
    """Let a sender's mail wait."""
    return _moved(call, account_id, "paused")


@routes.post("/v1/email-accounts/{account_id}/resume", needs=Scope.SMTP_MANAGE)
def resume_email_account(call: Call, account_id: UUID) -> AccountView:
    """Let a sender's mail go on."""
    return _moved(call, account_id, "active")


def _moved(call: Call, account_id: UUID, status: str) -> AccountView:
    found = email_accounts.get(call.session, call.app_id, account_id)
    changed = dataclasses.replace(found, status=status)
    return AccountView.model_validate(email_accounts.update(call.session, changed, call.author))
