"""Apps, the unit of tenancy, and the companies inside them."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from app.audit import AuditEntry, Author, record
from app.db.session import Session
from app.errors import NotFound
from app.ids import new_id
from app.tenancy import checks, queues

DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A tenant. `keeps_content`: what was sent stays readable; `is_sandbox`: nothing leaves."""

    id: UUID
    name: str
    status: str
    is_sandbox: bool
    keeps_content: bool
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A group of accounts, leads and campaigns inside an app."""

    id: UUID
    app_id: UUID
    name: str
    created_at: dt.datetime


# One app, or all when no id is given.
_APPS = """
SELECT id, name, status, is_sandbox, keeps_content, created_at FROM apps
WHERE %(id)s::uuid IS NULL OR id = %(id)s ORDER BY name"""
_COMPANIES = "SELECT id, app_id, name, created_at FROM companies WHERE app_id = %s ORDER BY name"
_INSERT_COMPANY = """
INSERT INTO companies (id, app_id, name) VALUES (%s, %s, %s)
RETURNING id, app_id, name, created_at"""


def create(session: Session, name: str, author: Author) -> App:
    """Create an app with its queue "default"; raises InputInvalid, Conflict.

    Needs a worker's session: the API's role may not make apps.
    """
    checked = checks.name(name)
    app_id = new_id()
    with checks.unique("app", checked), session.transaction():
        session.execute("INSERT INTO apps (id, name) VALUES (%s, %s)", (app_id, checked))
        record(session, _created(app_id, author, "app", app_id, checked))
        queues.create(session, queues.NewQueue(app_id=app_id, name=DEFAULT_QUEUE), author)
        return get(session, app_id)


def get(session: Session, app_id: UUID) -> App:
    """Return an app by its id; raises NotFound."""
    found = session.cursor(row_factory=class_row(App)).execute(_APPS, {"id": app_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no app {app_id}.", field="app")
    return found


def get_by_name(session: Session, name: str) -> App:
    """Return an app by its name; raises NotFound suggesting the nearest."""
    apps = {app.name: app for app in list_all(session)}
    found = apps.get(name.strip())
    if found is None:
        raise checks.not_found("app", name, apps)
    return found


def list_all(session: Session) -> list[App]:
    """Return the apps the session may see, by name."""
    return session.cursor(row_factory=class_row(App)).execute(_APPS, {"id": None}).fetchall()


def create_company(session: Session, app_id: UUID, name: str, author: Author) -> Company:
    """Create a company in an app; raises InputInvalid, Conflict."""
    checked = checks.name(name)
    company_id = new_id()
    with checks.unique("company", checked), session.transaction():
        cursor = session.cursor(row_factory=class_row(Company))
        (made,) = cursor.execute(_INSERT_COMPANY, (company_id, app_id, checked)).fetchall()
        record(session, _created(app_id, author, "company", company_id, checked))
    return made


def get_company_by_name(session: Session, app_id: UUID, name: str) -> Company:
    """Return a company of an app by its name; raises NotFound suggesting the nearest."""
    companies = {company.name: company for company in list_companies(session, app_id)}
    found = companies.get(name.strip())
    if found is None:
        raise checks.not_found("company", name, companies)
    return found


def list_companies(session: Session, app_id: UUID) -> list[Company]:
    """Return the companies of an app, by name."""
    cursor = session.cursor(row_factory=class_row(Company))
    return cursor.execute(_COMPANIES, (app_id,)).fetchall()


def _created(app_id: UUID, author: Author, kind: str, target_id: UUID, name: str) -> AuditEntry:
    return AuditEntry(
        app_id=app_id,
        author=author,
        action=f"{kind}.created",
        target_kind=kind,
        target_id=target_id,
        after={"name": name},
    )
