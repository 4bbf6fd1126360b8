"""Apps, the unit of tenancy."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.audit import AuditEntry, Author, note_change, record
from app.db.session import Session, one
from app.errors import InputInvalid, NotFound
from app.ids import new_id
from app.lifecycle import transitions
from app.tenancy import checks, queues

DEFAULT_QUEUE = "default"
QUOTAS = range(1, 1_000_000_001)


class AppStatus(StrEnum):
    """Whether an app works: suspended, its keys open nothing and its mail waits."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A tenant. `keeps_content`: what was sent stays readable; `is_sandbox`: nothing leaves.

    E-mails a minute, UTC day and month at most; None = nothing limits. `settings`: what the rooms
    read of it is theirs to say.
    """

    id: UUID
    name: str
    status: str
    is_sandbox: bool
    keeps_content: bool
    settings: dict[str, Any]
    per_minute: int | None
    daily_quota: int | None
    monthly_quota: int | None
    created_at: dt.datetime


_COLUMNS = """id, name, status, is_sandbox, keeps_content, settings, per_minute, daily_quota,
       monthly_quota, created_at"""
# One app, or all when no id is given.
_APPS = f"""
SELECT {_COLUMNS} FROM apps WHERE %(id)s::uuid IS NULL OR id = %(id)s ORDER BY name"""  # noqa: S608 - constants of this module
_PAGE = f"""
SELECT {_COLUMNS} FROM apps WHERE %(after)s::uuid IS NULL OR id < %(after)s
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - as above
_INSERT = "INSERT INTO apps (id, name, is_sandbox) VALUES (%s, %s, %s)"
_UPDATE = """
UPDATE apps SET name = %(name)s, status = %(status)s, is_sandbox = %(is_sandbox)s,
       keeps_content = %(keeps_content)s, settings = %(settings)s, per_minute = %(per_minute)s,
       daily_quota = %(daily_quota)s, monthly_quota = %(monthly_quota)s
WHERE id = %(id)s"""
_DELETE = "DELETE FROM apps WHERE id = %s"
# Index emails_app.
_HAS_MAIL = "SELECT FROM emails WHERE app_id = %s LIMIT 1"


def create(session: Session, name: str, author: Author) -> App:
    """Create an app with its queue "default"; raises InputInvalid, Conflict.

    Needs a worker's session: the API's role may not make apps.
    """
    return _create(session, name, author, is_sandbox=False)


def create_sandbox(session: Session, name: str, author: Author) -> App:
    """Create an app whose mail is simulated and never leaves; like `create`."""
    return _create(session, name, author, is_sandbox=True)


def _create(session: Session, name: str, author: Author, *, is_sandbox: bool) -> App:
    checked = checks.name(name)
    app_id = new_id()
    with checks.unique("app", checked), session.transaction():
        session.execute(_INSERT, (app_id, checked, is_sandbox))
        after = {"name": checked, "is_sandbox": is_sandbox}
        record(session, _entry(app_id, author, "app.created", after=after))
        queues.create(session, queues.NewQueue(app_id=app_id, name=DEFAULT_QUEUE), author)
        return get(session, app_id)


def get(session: Session, app_id: UUID) -> App:
    """Return an app by its id; raises NotFound."""
    found = _apps(session, _APPS, {"id": app_id})
    if not found:
        raise NotFound(f"There is no app {app_id}.", field="app")
    return found[0]


def get_by_name(session: Session, name: str) -> App:
    """Return an app by its name; raises NotFound suggesting the nearest."""
    apps = {app.name: app for app in list_all(session)}
    found = apps.get(name.strip())
    if found is None:
        raise checks.not_found("app", name, apps)
    return found


def list_all(session: Session) -> list[App]:
    """Return the apps the session may see, by name."""
    return _apps(session, _APPS, {"id": None})


def list_page(session: Session, *, after: UUID | None = None, limit: int = 50) -> list[App]:
    """Return the apps the session may see, newest first, below the id `after`."""
    return _apps(session, _PAGE, {"after": after, "limit": limit})


def update(session: Session, changed: App, author: Author) -> App:
    """Store every field of an app; mail on its way keeps to new limits at once.

    Raises InputInvalid naming the field, Conflict (name), NotFound.
    """
    checked = _checked(changed)
    fields = dataclasses.asdict(checked)
    with checks.unique("app", checked.name), session.transaction():
        before = dataclasses.asdict(get(session, changed.id))
        session.execute(_UPDATE, fields | {"settings": Jsonb(checked.settings)})
        note_change(session, _entry(changed.id, author, "app.updated"), before, fields)
        transitions.ask_again(session, changed.id)
        return get(session, changed.id)


def delete(session: Session, app: App, author: Author) -> None:
    """Delete an app that has no mail, with all that is in it; raises Conflict.

    Needs a worker's session.
    """
    with session.transaction():
        if one(session, _HAS_MAIL, (app.id,)) is not None:
            fix = "Suspend it instead: its keys open nothing then, and no mail leaves."
            raise checks.in_use("app", app.name, "It has e-mails, whose history would go.", fix)
        record(session, _entry(app.id, author, "app.deleted", before={"name": app.name}))
        session.execute(_DELETE, (app.id,))


def _checked(app: App) -> App:
    if app.status not in set(AppStatus):
        raise InputInvalid(
            f"An app cannot be {app.status!r}.",
            why=f"It is {' or '.join(AppStatus)}.",
            field="status",
        )
    for name in ("per_minute", "daily_quota", "monthly_quota"):
        checks.within_or_none(getattr(app, name), QUOTAS, name)
    return dataclasses.replace(app, name=checks.name(app.name))


def _apps(session: Session, query: LiteralString, binds: Mapping[str, Any]) -> list[App]:
    return session.cursor(row_factory=class_row(App)).execute(query, binds).fetchall()


def _entry(
    app_id: UUID,
    author: Author,
    action: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    return AuditEntry(
        app_id=app_id,
        author=author,
        action=action,
        target_kind="app",
        target_id=app_id,
        before=before,
        after=after,
    )
