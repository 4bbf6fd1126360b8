"""`/v1/gdpr`: what an app keeps of a person, erasing it, and the requests with their receipts."""

import datetime as dt
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.paging import Page, PageQuery, page
from app.gdpr import requests
from app.gdpr.queues import HORIZON
from app.gdpr.requests import Request
from app.mail.address import normalise
from app.tenancy.scopes import Scope

routes = Routes("gdpr", about="A person's rights: everything kept of them, and erasing it.")

_QUEUES = "No message to the person is sent. Messages that name them are worked off, or cut."
_SPOOL = "A hit is stored without address, browser and network when its person is erased."
_NEVER = "They never hold an address."
_BACKUPS = "Backups of the database (MAILQUEUE_BACKUP_DAYS). Erase again after restoring one."

Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]


class StoreView(BaseModel):
    """A store besides the tables, and when it holds nothing of the person any more."""

    store: str
    about: str
    clean_by: dt.datetime


class RequestView(BaseModel):
    """One request; the person is named by a keyed hash.

    An erasure is `open` or `running` until nothing of the person can be left in a queue.
    """

    id: UUID
    kind: str
    status: str
    person: str = Field(description="The keyed hash of the address, in hex.")
    receipt: dict[str, int] | None = Field(description="Rows by table.")
    stores: list[StoreView] = Field(description="Of an erasure: what else may hold the address.")
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
    return _view(done, call.settings.backup_days)


@routes.get("/v1/gdpr/requests", needs=Scope.GDPR_MANAGE)
def list_gdpr_requests(call: Call, query: PageQuery) -> Page[RequestView]:
    """List the requests, the newest first."""
    rows = requests.list_page(
        call.session, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    days = call.settings.backup_days
    return page(rows, query, lambda row: _view(row, days), lambda request: request.id)


def _pepper(call: Call) -> str:
    return call.settings.address_pepper.get_secret_value()


def _view(request: Request, backup_days: int) -> RequestView:
    receipt = request.receipt or {}
    return RequestView(
        id=request.id,
        kind=request.kind,
        status=request.status,
        person=bytes(request.email_hash).hex(),
        receipt={name: rows for name, rows in receipt.items() if isinstance(rows, int)},
        stores=_stores(request, backup_days) if request.kind == "erase" else [],
        requested_by=request.requested_by,
        created_at=request.created_at,
        finished_at=request.finished_at,
    )


def _stores(request: Request, backup_days: int) -> list[StoreView]:
    at = request.created_at
    queues_by = request.finished_at or at + HORIZON
    backups_by = at + dt.timedelta(days=backup_days)
    return [
        StoreView(store="queues", about=_QUEUES, clean_by=queues_by),
        StoreView(store="tracking spool", about=_SPOOL, clean_by=queues_by),
        StoreView(store="logs, journals and archives", about=_NEVER, clean_by=at),
        StoreView(store="backups", about=_BACKUPS, clean_by=backups_by),
    ]
