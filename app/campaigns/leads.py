"""Leads as they stand, read by id and page by page; how they come in: leads_import."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from app.campaigns.leads_csv import LeadRow
from app.db.session import Session
from app.errors import InputInvalid, NotFound
from app.lifecycle import retired
from app.lifecycle.retired import PLANNED, Book
from app.mail.address import normalise
from app.scheduling.calendar import zone_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A recipient; `status` is active, unsubscribed, bounced or complained."""

    id: UUID
    company_id: UUID | None
    email: str
    timezone: str | None
    variables: dict[str, Any]
    status: str
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenLead:
    """A lead as somebody gives it, unchecked."""

    email: str
    timezone: str | None
    variables: Mapping[str, Any]


_COLUMNS = "id, company_id, email, timezone, variables, status, created_at"
_GET = f"SELECT {_COLUMNS} FROM leads WHERE app_id = %s AND id = %s"  # noqa: S608 - constants
# Newest first; index leads_app_id_id.
_PAGE = f"""
SELECT {_COLUMNS} FROM leads
WHERE app_id = %(app)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(hash)s::bytea IS NULL OR email_hash = %(hash)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - constants


def get(session: Session, app_id: UUID, lead_id: UUID) -> Lead:
    """Return a lead of the app; raises NotFound."""
    cursor = session.cursor(row_factory=class_row(Lead))
    found = cursor.execute(_GET, (app_id, lead_id)).fetchone()
    if found is None:
        raise NotFound(f"There is no lead {lead_id}.", field="lead_id")
    return found


def list_page(session: Session, app_id: UUID, **choice: Any) -> list[Lead]:
    """Return leads of the app, the newest first: `status`, `hash`, `after` an id, `limit`."""
    cursor = session.cursor(row_factory=class_row(Lead))
    return cursor.execute(_PAGE, {"app": app_id} | choice).fetchall()


def delete(session: Session, app_id: UUID, lead_id: UUID) -> None:
    """Delete a lead with its enrolments; what was planned stays in the books. Raises NotFound."""
    if not _delete(session, app_id, [lead_id]):
        raise NotFound(f"There is no lead {lead_id}.", field="lead_id")


_PLANNED = """
SELECT campaign_id, sum(steps_planned) FROM enrolments WHERE app_id = %s AND lead_id = ANY(%s)
GROUP BY 1"""
_DELETE = "DELETE FROM leads WHERE app_id = %s AND id = ANY(%s)"


def _delete(session: Session, app_id: UUID, lead_ids: list[UUID]) -> int:
    """Delete leads; the mails planned for them are counted on, though the enrolments go, too."""
    with session.transaction():
        session.execute("SELECT FROM enrolments WHERE lead_id = ANY(%s) FOR UPDATE", (lead_ids,))
        planned = session.execute(_PLANNED, (app_id, lead_ids)).fetchall()
        retired.add(
            session,
            {
                Book(app_id=app_id, campaign_id=row[0], batch_id=None, kind=PLANNED): row[1]
                for row in planned
            },
        )
        return session.execute(_DELETE, (app_id, lead_ids)).rowcount


def checked(given: Sequence[GivenLead]) -> Iterator[LeadRow]:
    """Yield leads as rows of an import, numbered from 1; what cannot be used has its reason."""
    for number, lead in enumerate(given, 1):
        try:
            email = normalise(lead.email)
            if lead.timezone:
                zone_named(lead.timezone)
        except InputInvalid as error:
            reason = " ".join(str(error).split())
            yield LeadRow(number, lead.email.strip()[:254], None, {}, reason)
        else:
            yield LeadRow(number, email, lead.timezone or None, dict(lead.variables))


def erase(session: Session, app_id: UUID, email_hash: bytes) -> dict[str, int]:
    """Delete a person's lead with its enrolments; return rows by table."""
    found = session.execute(
        "SELECT id FROM leads WHERE app_id = %s AND email_hash = %s", (app_id, email_hash)
    ).fetchall()
    return {"leads": _delete(session, app_id, [row[0] for row in found])}
