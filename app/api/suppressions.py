"""Who must not be written to: of one app, or, for a super_admin who names none, of all apps."""

import datetime as dt
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.api.call import Call, Csv
from app.api.endpoint import Routes, Unit
from app.api.forms import Time
from app.api.paging import MOST, Page, PageQuery, page
from app.audit import AuditEntry, record
from app.db.session import Session
from app.errors import NotFound
from app.mail.address import normalise
from app.policy import suppression, suppression_csv
from app.policy.suppression import Entry, Reason, Suppression
from app.privacy import address_hash
from app.tenancy.scopes import Scope

routes = Routes("suppression", about="Addresses that get no mail, whatever asks for it.")

_MOST_REJECTS = 1_000
_IMPORT_BYTES = 30_000_000

Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]


class NewSuppression(BaseModel):
    """An address to suppress."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: Address
    reason: Reason = Reason.MANUAL
    expires_at: Time | None = Field(None, description="When it ends; null = never.")


class SuppressionView(BaseModel):
    """One entry. `email` is null when the person was erased: the entry still holds."""

    id: UUID
    email: str | None
    scope: str = Field(description="`app`, or `global` for every app.")
    reason: Reason
    source: str | None
    expires_at: dt.datetime | None
    created_at: dt.datetime


class SuppressionQuery(PageQuery):
    """Which entries."""

    reason: Reason | None = None
    email: Address | None = None


class Rejected(BaseModel):
    """A line that was not taken."""

    line: int
    email: str
    reason: str


class ImportView(BaseModel):
    """What an import did; at most 1,000 of the rejected lines are listed."""

    rows: int
    added: int
    already: int
    rejected: int
    rejects: list[Rejected]


@routes.post(
    "/v1/suppression",
    needs=Scope.SUPPRESSION_MANAGE,
    unit=Unit.OWN,
    status=HTTPStatus.CREATED,
)
def add_suppression(call: Call, body: NewSuppression) -> SuppressionView:
    """Suppress an address; also for mail that is already queued."""
    email = normalise(body.email)
    entry = Suppression(
        app_id=call.caller.app_id,
        email_hash=_hash(call, email),
        email=email,
        reason=body.reason,
        source=call.author.name,
        expires_at=body.expires_at,
    )
    with call.scope() as session:
        suppression.add_all(session, (entry,))
        _note(call, session, "suppression.added", entry.email_hash)
        return _view(_one(session, call.caller.app_id, entry.email_hash))


@routes.get("/v1/suppression", needs=Scope.EMAIL_READ, unit=Unit.OWN)
def list_suppressions(call: Call, query: SuppressionQuery) -> Page[SuppressionView]:
    """List entries, the newest first."""
    digest = None if query.email is None else _hash(call, normalise(query.email))
    with call.scope() as session:
        rows = suppression.list_page(
            session,
            call.caller.app_id,
            limit=query.limit + 1,
            after=query.after_id,
            reason=query.reason,
            email_hash=digest,
        )
    return page(rows, query, _view, lambda entry: entry.id)


@routes.get("/v1/suppression/export", needs=Scope.SUPPRESSION_MANAGE, unit=Unit.OWN)
def export_suppressions(call: Call) -> Csv:
    """Return every entry as a CSV file that can be imported again."""
    with call.scope() as session:
        body = suppression_csv.write(_all(session, call.caller.app_id))
    return Csv(body=body, filename="suppression.csv")


@routes.post(
    "/v1/suppression/import",
    needs=Scope.SUPPRESSION_MANAGE,
    unit=Unit.OWN,
    accepts="text/csv",
    body_bytes=_IMPORT_BYTES,
)
def import_suppressions(call: Call, body: bytes) -> ImportView:
    """Suppress the addresses of a CSV file: `email`, optionally `reason` and `expires_at`."""
    rows = list(suppression_csv.read(body))
    faulty = [row for row in rows if row.fault is not None]
    entries = [
        Suppression(
            app_id=call.caller.app_id,
            email_hash=_hash(call, row.email),
            email=row.email,
            reason=row.reason,
            source=f"import by {call.author.name}",
            expires_at=row.expires_at,
        )
        for row in rows
        if row.fault is None
    ]
    unique = {entry.email_hash: entry for entry in reversed(entries)}
    with call.scope() as session:
        added = suppression.add_all(session, unique.values())
        _note(call, session, "suppression.imported", None, {"rows": len(rows), "added": added})
    return ImportView(
        rows=len(rows),
        added=added,
        already=len(entries) - added,
        rejected=len(faulty),
        rejects=[
            Rejected(line=row.line, email=row.email, reason=row.fault or "")
            for row in faulty[:_MOST_REJECTS]
        ],
    )


@routes.delete("/v1/suppression/{email}", needs=Scope.SUPPRESSION_MANAGE, unit=Unit.OWN)
def remove_suppression(call: Call, email: Address) -> None:
    """Lift the entry of an address. Whoever complained or unsubscribed may not want that."""
    digest = _hash(call, normalise(email))
    with call.scope() as session:
        if not suppression.remove(session, call.caller.app_id, digest):
            raise NotFound(
                "This address is not suppressed here.",
                why="The list has no entry of it; an entry for every app is lifted by its operator.",
                fix="See the list: GET /v1/suppression.",
                field="email",
            )
        _note(call, session, "suppression.removed", digest)


def _hash(call: Call, email: str) -> bytes:
    return address_hash(email, call.settings.address_pepper.get_secret_value())


def _one(session: Session, app_id: UUID | None, digest: bytes) -> Entry:
    return suppression.list_page(session, app_id, limit=1, email_hash=digest)[0]


def _all(session: Session, app_id: UUID | None) -> Iterator[Entry]:
    after: UUID | None = None
    while entries := suppression.list_page(session, app_id, limit=10 * MOST, after=after):
        yield from entries
        after = entries[-1].id


def _view(entry: Entry) -> SuppressionView:
    return SuppressionView(
        id=entry.id,
        email=entry.email,
        scope="global" if entry.app_id is None else "app",
        reason=Reason(entry.reason),
        source=entry.source,
        expires_at=entry.expires_at,
        created_at=entry.created_at,
    )


def _note(
    call: Call,
    session: Session,
    action: str,
    digest: bytes | None,
    after: dict[str, int] | None = None,
) -> None:
    """Write the audit log: the address appears by its hash only."""
    record(
        session,
        AuditEntry(
            app_id=call.caller.app_id,
            author=call.author,
            action=action,
            target_kind="suppression",
            target_id=digest.hex() if digest else "list",
            after=after,
        ),
    )
