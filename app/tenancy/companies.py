"""Companies: groups of accounts, leads and campaigns inside an app."""

import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row

from app.audit import Author, entry_of, note_change, record
from app.db.session import Session, one
from app.errors import NotFound
from app.ids import new_id
from app.tenancy import checks

_entry = functools.partial(entry_of, "company")


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A group of accounts, leads and campaigns inside an app."""

    id: UUID
    app_id: UUID
    name: str
    created_at: dt.datetime


_GET = """
SELECT id, app_id, name, created_at FROM companies WHERE app_id = %(app_id)s AND id = %(id)s"""
_ALL = "SELECT id, app_id, name, created_at FROM companies WHERE app_id = %(app_id)s ORDER BY name"
_PAGE = """
SELECT id, app_id, name, created_at FROM companies
WHERE app_id = %(app_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""
_INSERT = """
INSERT INTO companies (id, app_id, name) VALUES (%(id)s, %(app_id)s, %(name)s)
RETURNING id, app_id, name, created_at"""
_RENAME = "UPDATE companies SET name = %(name)s WHERE app_id = %(app_id)s AND id = %(id)s"
_DELETE = "DELETE FROM companies WHERE app_id = %(app_id)s AND id = %(id)s"
# Accounts, leads and campaigns would silently lose their company.
_MEMBER = """
SELECT 'account ' || address FROM email_accounts WHERE company_id = %(id)s
UNION ALL SELECT 'campaign ' || name FROM campaigns WHERE company_id = %(id)s
UNION ALL (SELECT 'leads' FROM leads WHERE app_id = %(app_id)s AND company_id = %(id)s LIMIT 1)
LIMIT 1"""


def create(session: Session, app_id: UUID, name: str, author: Author) -> Company:
    """Create a company in an app; raises InputInvalid, Conflict."""
    checked = checks.name(name)
    row = {"id": new_id(), "app_id": app_id, "name": checked}
    with checks.unique("company", checked), session.transaction():
        (made,) = _companies(session, _INSERT, row)
        record(session, _entry(made, author, "created", after={"name": checked}))
    return made


def get(session: Session, app_id: UUID, company_id: UUID) -> Company:
    """Return a company of an app; raises NotFound."""
    found = _companies(session, _GET, {"app_id": app_id, "id": company_id})
    if not found:
        raise NotFound(f"There is no company {company_id} in this app.", field="company")
    return found[0]


def get_by_name(session: Session, app_id: UUID, name: str) -> Company:
    """Return a company of an app by its name; raises NotFound suggesting the nearest."""
    companies = {company.name: company for company in list_all(session, app_id)}
    found = companies.get(name.strip())
    if found is None:
        raise checks.not_found("company", name, companies)
    return found


def list_all(session: Session, app_id: UUID) -> list[Company]:
    """Return the companies of an app, by name."""
    return _companies(session, _ALL, {"app_id": app_id})


def list_page(
    session: Session, app_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[Company]:
    """Return companies of an app, newest first, below the id `after`."""
    return _companies(session, _PAGE, {"app_id": app_id, "after": after, "limit": limit})


def rename(session: Session, company: Company, name: str, author: Author) -> Company:
    """Give a company another name; raises InputInvalid, Conflict, NotFound."""
    checked = checks.name(name)
    row = {"id": company.id, "app_id": company.app_id, "name": checked}
    with checks.unique("company", checked), session.transaction():
        before = get(session, company.app_id, company.id)
        session.execute(_RENAME, row)
        entry = _entry(company, author, "updated")
        note_change(session, entry, {"name": before.name}, {"name": checked})
        return get(session, company.app_id, company.id)


def delete(session: Session, company: Company, author: Author) -> None:
    """Delete a company without members; raises Conflict naming one."""
    binds = {"app_id": company.app_id, "id": company.id}
    with session.transaction():
        member = one(session, _MEMBER, binds)
        if member is not None:
            fix = "Move its accounts, leads and campaigns to another company first."
            raise checks.in_use("company", company.name, f"It has {member[0]}.", fix)
        if session.execute(_DELETE, binds).rowcount:
            record(session, _entry(company, author, "deleted", before={"name": company.name}))


def _companies(session: Session, query: LiteralString, binds: Mapping[str, Any]) -> list[Company]:
    return session.cursor(row_factory=class_row(Company)).execute(query, binds).fetchall()
