"""SMTP servers of an app. The password is sealed in the row and never leaves in clear by a repr."""

import dataclasses
import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString
from urllib.parse import unquote, urlsplit
from uuid import UUID

from psycopg.rows import dict_row

from app.audit import Author, entry_of, note_change, record
from app.db.session import Session
from app.errors import ConfigurationInvalid, InputInvalid, NotFound
from app.ids import new_id
from app.secretbox import Place, SecretBox
from app.smtp.connection import Security
from app.tenancy import checks

_entry = functools.partial(entry_of, "smtp_config")

PORTS = range(1, 65_536)
CONNECTIONS = range(1, 65)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSmtpConfig:
    """A server to create; without username it is used without AUTH."""

    app_id: UUID
    name: str
    host: str
    port: int = 587
    security: Security = Security.STARTTLS
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    connections: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpConfig(NewSmtpConfig):
    """A server as it stands, its password opened."""

    id: UUID
    created_at: dt.datetime


_SCHEMES = {
    "smtp": Security.NONE,
    "smtp+starttls": Security.STARTTLS,
    "smtps": Security.TLS,
}
_USUAL_PORTS = {Security.NONE: 25, Security.STARTTLS: 587, Security.TLS: 465}

_COLUMNS = """id, app_id, name, host, port, security, username, password_sealed, connections,
       created_at"""
_INSERT = """
INSERT INTO smtp_configs
    (id, app_id, name, host, port, security, username, password_sealed, connections)
VALUES
    (%(id)s, %(app_id)s, %(name)s, %(host)s, %(port)s, %(security)s, %(username)s,
     %(password_sealed)s, %(connections)s)
RETURNING created_at"""
# One server, by id or by name.
_FIND = f"""
SELECT {_COLUMNS} FROM smtp_configs
WHERE app_id = %(app_id)s AND (id = %(id)s OR name = %(name)s)"""  # noqa: S608 - constants of this module
_PAGE = f"""
SELECT {_COLUMNS} FROM smtp_configs
WHERE app_id = %(app_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - as above
_UPDATE = """
UPDATE smtp_configs SET name = %(name)s, host = %(host)s, port = %(port)s,
       security = %(security)s, username = %(username)s, password_sealed = %(password_sealed)s,
       connections = %(connections)s
WHERE app_id = %(app_id)s AND id = %(id)s"""
_DELETE = "DELETE FROM smtp_configs WHERE app_id = %(app_id)s AND id = %(id)s"


def create(session: Session, box: SecretBox, new: NewSmtpConfig, author: Author) -> SmtpConfig:
    """Create a server, its password sealed by `box`; raises InputInvalid, Conflict."""
    fields = dataclasses.asdict(_checked(new))
    config_id = new_id()
    sealed = _sealed(box, config_id, new)
    row = fields | {"id": config_id, "password_sealed": sealed}
    with checks.unique("SMTP server", fields["name"]), session.transaction():
        ((created_at,),) = session.execute(_INSERT, row).fetchall()
        made = SmtpConfig(id=config_id, created_at=created_at, **fields)
        record(session, _entry(made, author, "created", after=fields))
    return made


def get(session: Session, box: SecretBox, app_id: UUID, config_id: UUID) -> SmtpConfig:
    """Return a server of an app by its id; raises NotFound, SealBroken."""
    found = _found(session, box, _FIND, {"app_id": app_id, "id": config_id, "name": None})
    if not found:
        raise NotFound(f"There is no SMTP server {config_id} in this app.", field="smtp_config_id")
    return found[0]


def get_by_name(session: Session, box: SecretBox, app_id: UUID, name: str) -> SmtpConfig:
    """Return a server of an app by its name; raises NotFound suggesting the nearest, SealBroken."""
    found = _found(session, box, _FIND, {"app_id": app_id, "id": None, "name": name.strip()})
    if not found:
        raise checks.not_found("SMTP server", name, list_names(session, app_id))
    return found[0]


def list_names(session: Session, app_id: UUID) -> list[str]:
    """Return the names of an app's servers, sorted."""
    query = "SELECT name FROM smtp_configs WHERE app_id = %s ORDER BY name"
    return [name for (name,) in session.execute(query, (app_id,)).fetchall()]


def list_page(
    session: Session, box: SecretBox, app_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[SmtpConfig]:
    """Return servers of an app, newest first, below the id `after`; raises SealBroken."""
    return _found(session, box, _PAGE, {"app_id": app_id, "after": after, "limit": limit})


def update(session: Session, box: SecretBox, changed: SmtpConfig, author: Author) -> SmtpConfig:
    """Store every field of a server; mail on its way uses it within seconds.

    Raises InputInvalid, Conflict (name), NotFound, SealBroken.
    """
    valid = _checked(changed)
    checked = dataclasses.replace(changed, name=valid.name, host=valid.host)
    fields = dataclasses.asdict(checked)
    row = fields | {"password_sealed": _sealed(box, changed.id, checked)}
    with checks.unique("SMTP server", checked.name), session.transaction():
        before = dataclasses.asdict(get(session, box, changed.app_id, changed.id))
        session.execute(_UPDATE, row)
        note_change(session, _entry(changed, author, "updated"), before, fields)
        return checked


def delete(session: Session, config: SmtpConfig, author: Author) -> None:
    """Delete a server no account sends through; raises Conflict."""
    binds = {"app_id": config.app_id, "id": config.id}
    fix = "Move its accounts to another server first."
    with checks.unused("SMTP server", config.name, fix), session.transaction():
        if session.execute(_DELETE, binds).rowcount:
            before = {"name": config.name, "host": config.host}
            record(session, _entry(config, author, "deleted", before=before))


def parsed(url: str, app_id: UUID, name: str) -> NewSmtpConfig:
    """Return a server written as smtp://user:password@host:port.

    smtps:// is TLS, smtp+starttls:// STARTTLS, smtp:// neither. Raises ConfigurationInvalid.
    """
    try:
        parts = urlsplit(url)
        security = _SCHEMES[parts.scheme]
        port = parts.port or _USUAL_PORTS[security]
    except (ValueError, KeyError) as error:
        raise ConfigurationInvalid(
            "MAILQUEUE_DEFAULT_SMTP_URL cannot be used.",
            why="It is not of the form smtp://host:port.",
            fix="Write smtp://, smtp+starttls:// or smtps://, and the login before an @.",
            field="default_smtp_url",
        ) from error
    return NewSmtpConfig(
        app_id=app_id,
        name=name,
        host=parts.hostname or "",
        port=port,
        security=security,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _found(
    session: Session, box: SecretBox, query: LiteralString, binds: Mapping[str, Any]
) -> list[SmtpConfig]:
    rows = session.cursor(row_factory=dict_row).execute(query, binds).fetchall()
    return [_config(box, row) for row in rows]


def _config(box: SecretBox, row: dict[str, Any]) -> SmtpConfig:
    sealed = row.pop("password_sealed")
    password = None if sealed is None else box.open(sealed, **_place(row["id"], row["app_id"]))
    return SmtpConfig(**row | {"security": Security(row["security"]), "password": password})


def _sealed(box: SecretBox, config_id: UUID, config: NewSmtpConfig) -> str | None:
    if config.password is None:
        return None
    return box.seal(config.password, **_place(config_id, config.app_id))


def _place(row_id: UUID, app_id: UUID) -> Place:
    return Place(table="smtp_configs", column="password_sealed", row_id=row_id, app_id=app_id)


def _checked(new: NewSmtpConfig) -> NewSmtpConfig:
    if (new.username is None) != (new.password is None):
        raise InputInvalid(
            "The server's login is half given.",
            why="A username needs a password and the other way round.",
            field="password" if new.password is None else "username",
        )
    if new.username is not None and new.security is Security.NONE:
        raise InputInvalid(
            "A password is never sent in clear.",
            why="The server's security is none, and a login was given.",
            fix="Choose starttls (port 587) or tls (port 465), or leave the login out.",
            field="security",
        )
    checks.within(new.port, PORTS, "port")
    checks.within(new.connections, CONNECTIONS, "connections")
    return dataclasses.replace(new, name=checks.name(new.name), host=checks.host(new.host))
