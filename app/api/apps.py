"""`/v1/apps`: tenants. Making and changing them is the operator's; an app may look at itself."""

import dataclasses
import datetime as dt
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from app.api.call import Call
from app.api.endpoint import Routes, Unit
from app.api.forms import Given, View, secret_box
from app.api.paging import Page, PageQuery, page
from app.db.session import Session
from app.errors import NotFound
from app.retention.periods import SHORTEST_AUDIT
from app.tenancy import api_keys, apps, smtp_configs
from app.tenancy.api_keys import NewKey
from app.tenancy.apps import App, AppStatus
from app.tenancy.scopes import Scope

routes = Routes("apps", about="Tenants: each has its own keys, queues, accounts, mail and books.")

Name = Annotated[str, Field(min_length=1, max_length=100)]
Domain = Annotated[str, Field(min_length=1, max_length=253)]
_LONGEST_DAYS = 3_650
Days = Annotated[int, Field(ge=1, le=_LONGEST_DAYS)]
Quota = Annotated[int, Field(ge=1, le=1_000_000_000)] | None


class SoftBounces(Given):
    """After how many softly bounced mails in how many days an address is suppressed."""

    limit: Annotated[int, Field(ge=1, le=1_000)]
    days: Annotated[int, Field(ge=1, le=365)]


class AppSettings(Given):
    """Settings of one app; null takes one away, and what is usual holds again.

    `from_domains`: the only domains it may send from. `soft_bounces`: usually 5 mails in 14 days.
    `retention_*_days`: how long mails, kept content and the audit log stay; usual are 90, 30, 365.
    """

    attachments_most: Annotated[int, Field(ge=0, le=1_000)] | None = None
    attachments_total_bytes: Annotated[int, Field(ge=0, le=30_000_000)] | None = None
    from_domains: Annotated[tuple[Domain, ...], Field(max_length=100)] | None = None
    soft_bounces: SoftBounces | None = None
    retention_emails_days: Days | None = None
    retention_content_days: Days | None = None
    retention_audit_days: Annotated[int, Field(ge=SHORTEST_AUDIT, le=_LONGEST_DAYS)] | None = None


class NewApp(Given):
    """An app to make. In a sandbox everything happens but the sending."""

    name: Name
    is_sandbox: bool = False


class AppChange(Given):
    """What is to change; what is left out stays. Quotas: e-mails; null takes one away."""

    name: Name = ""
    status: AppStatus = AppStatus.ACTIVE
    is_sandbox: bool = False
    keeps_content: bool = False
    settings: AppSettings = AppSettings()
    per_minute: Quota = None
    daily_quota: Quota = None
    monthly_quota: Quota = None


class AppView(View):
    """An app as it stands."""

    id: UUID
    name: str
    status: AppStatus
    is_sandbox: bool
    keeps_content: bool
    settings: dict[str, Any]
    per_minute: int | None
    daily_quota: int | None
    monthly_quota: int | None
    created_at: dt.datetime


class BornApp(AppView):
    """A new app with its first key, which is shown this once, and its SMTP server if it got one."""

    api_key: str
    smtp_config_id: UUID | None


@routes.post(
    "/v1/apps", needs=Scope.ADMIN, unit=Unit.OPERATOR, status=HTTPStatus.CREATED, has_secret=True
)
def create_app(call: Call, body: NewApp) -> BornApp:
    """Create an app.

    It is born with a queue called default, a key that holds every scope, and, where the operator
    set MAILQUEUE_DEFAULT_SMTP_URL, a server to send through.
    """
    make = apps.create_sandbox if body.is_sandbox else apps.create
    made = make(call.session, body.name, call.author)
    key = NewKey(app_id=made.id, name="first key", scopes=(Scope.ADMIN,), is_test=body.is_sandbox)
    pepper = call.settings.api_key_pepper.get_secret_value()
    issued = api_keys.create(call.session, pepper, key, call.author)
    view = AppView.model_validate(made).model_dump()
    return BornApp(**view, api_key=issued.text, smtp_config_id=_default_server(call, made))


def _default_server(call: Call, app: App) -> UUID | None:
    url = call.settings.default_smtp_url
    if not url:
        return None
    new = smtp_configs.parsed(url, app.id, "default")
    return smtp_configs.create(call.session, secret_box(call.settings), new, call.author).id


@routes.get("/v1/apps", needs=Scope.ADMIN, unit=Unit.OPERATOR)
def list_apps(call: Call, query: PageQuery) -> Page[AppView]:
    """List the apps."""
    rows = apps.list_page(call.session, after=query.after_id, limit=query.limit + 1)
    return page(rows, query, AppView.model_validate, lambda app: app.id)


@routes.get("/v1/apps/{app_id}", needs=Scope.EMAIL_READ, unit=Unit.OWN)
def get_app(call: Call, app_id: UUID) -> AppView:
    """Show an app; a key sees its own."""
    if call.caller.is_operator:
        with call.operator() as session:
            return _shown(session, app_id)
    with call.tenant() as session:
        if app_id != call.app_id:
            raise NotFound(f"There is no app {app_id}.", field="app")
        return _shown(session, app_id)


def _shown(session: Session, app_id: UUID) -> AppView:
    return AppView.model_validate(apps.get(session, app_id))


@routes.patch("/v1/apps/{app_id}", needs=Scope.ADMIN, unit=Unit.OPERATOR)
def change_app(call: Call, app_id: UUID, body: AppChange) -> AppView:
    """Change an app: suspend it, limit it, let it keep what it sent."""
    found = apps.get(call.session, app_id)
    merged = found.settings | body.settings.model_dump(exclude_unset=True)
    settings = {name: value for name, value in merged.items() if value is not None}
    changed = dataclasses.replace(found, **body.said() | {"settings": settings})
    return AppView.model_validate(apps.update(call.session, changed, call.author))


@routes.delete("/v1/apps/{app_id}", needs=Scope.ADMIN, unit=Unit.OPERATOR)
def delete_app(call: Call, app_id: UUID) -> None:
    """Delete an app that never sent; one with history is suspended instead."""
    apps.delete(call.session, apps.get(call.session, app_id), call.author)
