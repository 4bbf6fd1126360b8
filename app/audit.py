"""Who changed what: one row per change, written in the transaction of the change.

The table is append-only by trigger. People appear in it by pseudonymous ids and hashes, secrets
not at all: what an erasure leaves behind must hold no address and no key.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.db.session import Session
from app.ids import new_id

MASK = "***"

_SECRET = re.compile(r"passw|secret|token|sealed|pepper|credential|private|recovery|_key$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who makes a change, as `cli`, `user:<id>`, `key:<id>` or `clock`; `origin` = from where."""

    name: str
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change: `action` as noun.verb_past, the fields before and after it."""

    app_id: UUID | None
    author: Author
    action: str
    target_kind: str
    target_id: UUID | str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


class Owned(Protocol):
    """Something of one app that a change is about."""

    @property
    def id(self) -> UUID:
        """Which one."""

    @property
    def app_id(self) -> UUID | None:
        """Whose; None for what stands above the apps."""


def entry_of(  # noqa: PLR0913 - the columns of the row, kind bound once by each room
    kind: str,
    owned: Owned,
    author: Author,
    verb: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Return the entry of a change to something of an app: its action is `kind.verb`."""
    return AuditEntry(
        app_id=owned.app_id,
        author=author,
        action=f"{kind}.{verb}",
        target_kind=kind,
        target_id=owned.id,
        before=before,
        after=after,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One change as it was recorded."""

    id: UUID
    actor: str
    action: str
    target_kind: str
    target_id: str
    origin: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which changes are asked for; None = all."""

    actor: str | None = None
    action: str | None = None
    target_kind: str | None = None
    target_id: str | None = None


_PAGE = """
SELECT id, actor, action, target_kind, target_id, origin, before, after, created_at
FROM audit_logs
WHERE app_id = %(app_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(target_kind)s::text IS NULL OR target_kind = %(target_kind)s)
  AND (%(target_id)s::text IS NULL OR target_id = %(target_id)s)
ORDER BY id DESC LIMIT %(limit)s"""
_INSERT = """
INSERT INTO audit_logs
    (id, app_id, actor, action, target_kind, target_id, origin, before, after)
VALUES
    (%(id)s, %(app_id)s, %(actor)s, %(action)s, %(target_kind)s, %(target_id)s, %(origin)s,
     %(before)s, %(after)s)
"""


def record(session: Session, entry: AuditEntry) -> None:
    """Append `entry`, its secrets masked. Call it inside the transaction of the change."""
    session.execute(
        _INSERT,
        {
            "id": new_id(),
            "app_id": entry.app_id,
            "actor": entry.author.name,
            "action": entry.action,
            "target_kind": entry.target_kind,
            "target_id": str(entry.target_id),
            "origin": entry.author.origin,
            "before": _document(entry.before),
            "after": _document(entry.after),
        },
    )


def note_change(
    session: Session,
    entry: AuditEntry,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    """Record `entry` with the fields that differ; nothing is recorded when none does."""
    changed = [name for name in after if before.get(name) != after[name]]
    if changed:
        old = {name: before.get(name) for name in changed}
        new = {name: after[name] for name in changed}
        record(session, dataclasses.replace(entry, before=old, after=new))


def list_page(
    session: Session, app_id: UUID, wanted: AuditFilter, *, after: UUID | None, limit: int
) -> list[AuditRow]:
    """Return what was changed in an app, newest first, below the id `after`.

    Index audit_logs_app_id_id.
    """
    binds = {
        "app_id": app_id,
        "after": after,
        "limit": limit,
        "actor": wanted.actor,
        "action": wanted.action,
        "target_kind": wanted.target_kind,
        "target_id": wanted.target_id,
    }
    return session.cursor(row_factory=class_row(AuditRow)).execute(_PAGE, binds).fetchall()


def masked(value: Any, name: str = "") -> Any:
    """Return `value` as the log may keep it: fields whose name says secret read `***`."""
    if value is not None and _SECRET.search(name.lower()):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): masked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(inner, name) for inner in value]
    return str(value) if isinstance(value, Decimal) else value


def _document(fields: Mapping[str, Any] | None) -> Jsonb | None:
    return None if fields is None else Jsonb(masked(fields))
