"""`/v1/audit-logs`: who changed what, from where, before and after."""

import datetime as dt
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from app import audit
from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import View
from app.api.paging import Page, PageQuery, page
from app.audit import AuditFilter
from app.tenancy.scopes import Scope

routes = Routes("audit", about="Who changed what, from where, before and after; secrets masked.")

Word = Annotated[str, Field(max_length=100)] | None


class AuditQuery(PageQuery):
    """Which changes; newest first."""

    actor: Word = None
    action: Word = None
    target_kind: Word = None
    target_id: Word = None


class AuditView(View):
    """One change; `actor` is cli, operator, key:<id>, user:<id> or clock."""

    id: UUID
    actor: str
    action: str
    target_kind: str
    target_id: str
    origin: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    created_at: dt.datetime


@routes.get("/v1/audit-logs", needs=Scope.AUDIT_READ)
def list_audit_logs(call: Call, query: AuditQuery) -> Page[AuditView]:
    """List what was changed in the app."""
    wanted = AuditFilter(
        actor=query.actor,
        action=query.action,
        target_kind=query.target_kind,
        target_id=query.target_id,
    )
    rows = audit.list_page(
        call.session, call.app_id, wanted, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, AuditView.model_validate, lambda row: row.id)
