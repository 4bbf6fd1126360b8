"""`/v1/gdpr`: what an app keeps of a person, erasing it, and the requests with their receipts."""

import datetime as dt
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.paging import Page, PageQuery, page
from app.gdpr import requests
from app.gdpr.requests import Request
from app.mail.address import normalise
from app.tenancy.scopes import Scope

routes = Routes("gdpr", about="A person's rights: everything kept of them, and erasing it.")

Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]


class RequestView(BaseModel):
    """One request; the person is named by a keyed hash."""

    id: UUID
    kind: str
    status: str
    person: str = Field(description="The keyed hash of the address, in hex.")
    receipt: dict[str, int] | None = Field(description="Rows by table.")
    requested_by: str
    created_at: dt.datetime
    finished_at: dt.datetime | None


class ExportView(BaseModel):
    """Everything an app keeps of a person, by table."""

    email: str
    data: dict[str, list[dict[str, Any]]]


@routes.get("/v1/gdpr/export/{email}", needs=Scope.GDPR_MANAGE)
def export_person(call: Call, email: Address) -> ExportView:
    """Export everything the app keeps of a person; the request is noted."""
    address = normalise(email)
    data = requests.export(call.session, call.app_id, address, _pepper(call), call.author)
    return ExportView(email=address, data=data)


@routes.delete("/v1/gdpr/{email}", needs=Scope.GDPR_MANAGE)
def erase_person(call: Call, email: Address) -> RequestView:
    """Erase a person and keep them suppressed; the answer is the receipt."""
    done = requests.erase(call.session, call.app_id, normalise(email), _pepper(call), call.author)
    return _view(done)


@routes.get("/v1/gdpr/requests", needs=Scope.GDPR_MANAGE)
def list_gdpr_requests(call: Call, query: PageQuery) -> Page[RequestView]:
    """List the requests, the newest first."""
    rows = requests.list_page(
        call.session, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, _view, lambda request: request.id)


def _pepper(call: Call) -> str:
    return call.settings.address_pepper.get_secret_value()


def _view(request: Request) -> RequestView:
    return RequestView(
        id=request.id,
        kind=request.kind,
        status=request.status,
        person=bytes(request.email_hash).hex(),
        receipt=request.receipt,
        requested_by=request.requested_by,
        created_at=request.created_at,
        finished_at=request.finished_at,
    )
