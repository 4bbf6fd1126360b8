"""Templates and their versions: immutable, so what was sent can always be shown again.

Saving the same content again keeps the version. What is stored of a content, app.assembly.contents
writes.
"""

import difflib
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from app.assembly import draft
from app.assembly.contents import Content, NewVersion, store
from app.audit import AuditEntry, Author, record
from app.db.session import Row, Session, one
from app.errors import InputInvalid, NotFound
from app.ids import new_id

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """A stored version. `name` is None for a one-off; `is_unchanged`: a save found it there."""

    id: UUID
    app_id: UUID
    name: str | None
    version: int
    content: Content
    variables: tuple[str, ...]
    is_unchanged: bool = False


def save(
    session: Session, app_id: UUID, name: str, content: Content, author: Author
) -> TemplateVersion:
    """Store `content` as the next version of the template `name`; the same again changes nothing.

    Raises TemplateInvalid with every line that cannot be used; nothing is stored then.
    """
    name = _checked_name(name)
    parsed = draft.parse(content.subject, content.html, content.text)
    with session.transaction():
        template_id = _locked(session, app_id, name)
        latest = one(session, f"{SELECT} {_LATEST}", {"template": template_id})
        if latest and bytes(latest[-1]) == content.hash:
            return version_of(latest, is_unchanged=True)
        version = TemplateVersion(
            id=new_id(),
            app_id=app_id,
            name=name,
            version=latest[3] + 1 if latest else 1,
            content=content,
            variables=parsed.variables,
        )
        new = NewVersion(
            id=version.id,
            app_id=app_id,
            template_id=template_id,
            version=version.version,
            content=content,
            parsed=parsed,
        )
        store(session, new)
        record(session, _saved(version, author))
    return version


def get(session: Session, app_id: UUID, name: str, version: int | None = None) -> TemplateVersion:
    """Return a version of the template `name`, the latest by default; raises NotFound."""
    found = one(
        session,
        f"{SELECT} WHERE t.app_id = %(app)s AND t.name = %(name)s "
        "AND v.version = coalesce(%(version)s, v.version) ORDER BY v.version DESC LIMIT 1",
        {"app": app_id, "name": name, "version": version},
    )
    if found:
        return version_of(found)
    raise NotFound(
        f"There is no template '{name}'" + (f" version {version}." if version else "."),
        fix=_nearest(session, app_id, name),
        field="template",
    )


def list_latest(session: Session, app_id: UUID) -> list[TemplateVersion]:
    """Return the latest version of every template of the app, by name."""
    rows = session.execute(
        f"{SELECT_DISTINCT} WHERE t.app_id = %(app)s ORDER BY t.name, v.version DESC",
        {"app": app_id},
    ).fetchall()
    return [version_of(row) for row in rows]


_COLUMNS: LiteralString = (
    "v.id, v.app_id, t.name, v.version, v.subject, v.html, v.body_text, v.variables, v.content_hash "
    "FROM template_versions v LEFT JOIN templates t ON t.id = v.template_id"
)
SELECT: LiteralString = f"SELECT {_COLUMNS}"
SELECT_DISTINCT: LiteralString = f"SELECT DISTINCT ON (t.name) {_COLUMNS}"
_LATEST = "WHERE v.template_id = %(template)s ORDER BY v.version DESC LIMIT 1"


def version_of(row: Row, *, is_unchanged: bool = False) -> TemplateVersion:
    """Return a row of SELECT as a version."""
    return TemplateVersion(
        id=row[0],
        app_id=row[1],
        name=row[2],
        version=row[3],
        content=Content(subject=row[4], html=row[5] or None, text=row[6] or None),
        variables=tuple(row[7]),
        is_unchanged=is_unchanged,
    )


def _locked(session: Session, app_id: UUID, name: str) -> UUID:
    """Return the id of the template `name`, made when new; nobody else adds versions meanwhile."""
    binds = {"id": new_id(), "app": app_id, "name": name}
    session.execute(
        "INSERT INTO templates (id, app_id, name) VALUES (%(id)s, %(app)s, %(name)s) "
        "ON CONFLICT (app_id, name) DO NOTHING",
        binds,
    )
    row = one(
        session,
        "SELECT id FROM templates WHERE app_id = %(app)s AND name = %(name)s FOR UPDATE",
        binds,
    )
    if row is None:
        raise NotFound(f"The template '{name}' was deleted meanwhile.", fix="Save it again.")
    found: UUID = row[0]
    return found


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InputInvalid(
            "A template needs a name.",
            fix=f"Give 1 to {_LONGEST_NAME} printable characters.",
            field="name",
        )
    return name


def _nearest(session: Session, app_id: UUID, name: str) -> str:
    rows = session.execute("SELECT name FROM templates WHERE app_id = %s", (app_id,)).fetchall()
    near = difflib.get_close_matches(name, [row[0] for row in rows], n=1)
    return f"Did you mean '{near[0]}'?" if near else "Save it first with `mailqueue template save`."


def _saved(version: TemplateVersion, author: Author) -> AuditEntry:
    return AuditEntry(
        app_id=version.app_id,
        author=author,
        action="template.saved",
        target_kind="template_version",
        target_id=version.id,
        after={"name": version.name, "version": version.version},
    )
