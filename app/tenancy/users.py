"""People: who may sign in, and for which app. How they sign in: app/tenancy/logins."""

import dataclasses
import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row

from app.audit import Author, entry_of, record
from app.db.session import Session
from app.errors import Conflict, InputInvalid, NotFound
from app.ids import new_id
from app.tenancy import checks, passwords
from app.tenancy.scopes import Role

_entry = functools.partial(entry_of, "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A person to create; only a super_admin has no app."""

    email: str
    role: Role
    password: str = field(repr=False)
    app_id: UUID | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person as they stand. A disabled one cannot sign in; their tokens end within seconds."""

    id: UUID
    app_id: UUID | None
    email: str
    name: str
    role: Role
    has_second_factor: bool
    last_login_at: dt.datetime | None
    password_changed_at: dt.datetime | None
    disabled_at: dt.datetime | None
    created_at: dt.datetime


_COLUMNS = """id, app_id, email, name, role, totp_secret_sealed IS NOT NULL AS has_second_factor,
       last_login_at, password_changed_at, disabled_at, created_at"""
_INSERT = """
INSERT INTO users (id, app_id, email, name, role, password_hash)
VALUES (%(id)s, %(app_id)s, %(email)s, %(name)s, %(role)s, %(password_hash)s)"""
_GET = f"SELECT {_COLUMNS} FROM users WHERE id = %(id)s"  # noqa: S608 - constants of this module
_BY_EMAIL = f"SELECT {_COLUMNS} FROM users WHERE email = %(email)s"  # noqa: S608 - as above
# Of one app, or every person when no app is given; newest first.
_PAGE = f"""
SELECT {_COLUMNS} FROM users
WHERE (%(app_id)s::uuid IS NULL OR app_id = %(app_id)s)
  AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - as above
_UPDATE = """
UPDATE users SET name = %(name)s, role = %(role)s,
       disabled_at = CASE WHEN %(is_disabled)s THEN coalesce(disabled_at, now()) END
WHERE id = %(id)s"""
_SET_HASH = """
UPDATE users SET password_hash = %(hash)s, password_changed_at = now() WHERE id = %(id)s"""
_OTHER_SUPER_ADMIN = """
SELECT FROM users WHERE role = 'super_admin' AND disabled_at IS NULL AND id <> %(id)s LIMIT 1"""


def create(session: Session, new: NewUser, author: Author) -> User:
    """Create a person; raises InputInvalid naming the field, Conflict. Needs a worker's session."""
    if (new.app_id is None) != (new.role is Role.SUPER_ADMIN):
        raise InputInvalid(
            f"A person cannot be {new.role} {'without' if new.app_id is None else 'of'} an app.",
            why="A super_admin works for every app, everybody else for one.",
            field="role",
        )
    user_id, email = new_id(), one_spelling(new.email)
    row = {
        "id": user_id,
        "app_id": new.app_id,
        "email": email,
        "name": checks.line(new.name, "name"),
        "role": new.role,
        "password_hash": passwords.hashed(new.password),
    }
    with checks.unique("person", email, "email"), session.transaction():
        session.execute(_INSERT, row)
        made = get(session, user_id)
        record(session, _entry(made, author, "created", after={"role": made.role}))
    return made


def one_spelling(email: str) -> str:
    """Return an address as people's are stored: in lower case; raises InputInvalid."""
    return checks.address(email, "email").lower()


def get(session: Session, user_id: UUID) -> User:
    """Return a person; raises NotFound."""
    found = _users(session, _GET, {"id": user_id})
    if not found:
        raise NotFound(f"There is no person {user_id}.", field="user")
    return found[0]


def find_by_email(session: Session, email: str) -> User | None:
    """Return a person by address (index users_email_key)."""
    found = _users(session, _BY_EMAIL, {"email": one_spelling(email)})
    return found[0] if found else None


def list_page(
    session: Session, app_id: UUID | None, *, after: UUID | None = None, limit: int = 50
) -> list[User]:
    """Return people of an app (None: of all), newest first, below the id `after`."""
    return _users(session, _PAGE, {"app_id": app_id, "after": after, "limit": limit})


def update(session: Session, changed: User, author: Author, *, is_disabled: bool) -> User:
    """Store name and role of `changed`, and whether the person may sign in.

    Raises InputInvalid, NotFound, and Conflict when no super_admin would be left.
    """
    name = checks.line(changed.name, "name")
    with session.transaction():
        before = get(session, changed.id)
        if (before.role is Role.SUPER_ADMIN) != (changed.role is Role.SUPER_ADMIN):
            raise InputInvalid(
                "A super_admin stays one, and nobody becomes one.",
                why="Everybody else works for one app.",
                fix="Create another person.",
                field="role",
            )
        if is_disabled and before.role is Role.SUPER_ADMIN:
            _require_another(session, before)
        row = {"id": changed.id, "name": name, "role": changed.role, "is_disabled": is_disabled}
        session.execute(_UPDATE, row)
        after = get(session, changed.id)
        record(
            session, _entry(after, author, "updated", before=_facts(before), after=_facts(after))
        )
    return after


def set_password(session: Session, user_id: UUID, password: str, author: Author) -> User:
    """Give a person another password; tokens of before end within seconds.

    Raises InputInvalid, NotFound.
    """
    kept = passwords.hashed(password)
    with session.transaction():
        session.execute(_SET_HASH, {"id": user_id, "hash": kept})
        changed = get(session, user_id)
        record(session, _entry(changed, author, "password_changed"))
    return changed


def _require_another(session: Session, user: User) -> None:
    if session.execute(_OTHER_SUPER_ADMIN, {"id": user.id}).fetchone() is None:
        raise Conflict(
            "The last super_admin cannot be disabled.",
            why="Nobody could manage this installation.",
            fix="Create another one first: mailqueue user create.",
        )


def _users(session: Session, query: LiteralString, binds: Mapping[str, Any]) -> list[User]:
    found = session.cursor(row_factory=class_row(User)).execute(query, binds).fetchall()
    return [dataclasses.replace(user, role=Role(user.role)) for user in found]


def _facts(user: User) -> dict[str, Any]:
    # No address and no name: the audit log outlives an erasure.
    return {"role": user.role, "is_disabled": user.disabled_at is not None}
