"""SMTP servers of an app. The password is sealed in the row and never leaves in clear by a repr."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.audit import AuditEntry, Author, record
from app.db.session import Session
from app.errors import InputInvalid, NotFound
from app.ids import new_id
from app.secretbox import Place, SecretBox
from app.smtp.connection import Security
from app.tenancy import checks

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


_INSERT = """
INSERT INTO smtp_configs
    (id, app_id, name, host, port, security, username, password_sealed, connections)
VALUES
    (%(id)s, %(app_id)s, %(name)s, %(host)s, %(port)s, %(security)s, %(username)s,
     %(password_sealed)s, %(connections)s)"""
# One server, by id or by name.
_FIND = """
SELECT id, app_id, name, host, port, security, username, password_sealed, connections
FROM smtp_configs WHERE app_id = %(app_id)s AND (id = %(id)s OR name = %(name)s)"""


def create(session: Session, box: SecretBox, new: NewSmtpConfig, author: Author) -> SmtpConfig:
    """Create a server, its password sealed by `box`; raises InputInvalid, Conflict."""
    fields = dataclasses.asdict(_checked(new))
    made = SmtpConfig(id=new_id(), **fields)
    row = fields | {"id": made.id, "password_sealed": _sealed(box, made)}
    with checks.unique("SMTP server", made.name), session.transaction():
        session.execute(_INSERT, row)
        record(
            session,
            AuditEntry(
                app_id=made.app_id,
                author=author,
                action="smtp_config.created",
                target_kind="smtp_config",
                target_id=made.id,
                after=fields,
            ),
        )
    return made


def get(session: Session, box: SecretBox, app_id: UUID, config_id: UUID) -> SmtpConfig:
    """Return a server of an app by its id; raises NotFound, SealBroken."""
    found = _find(session, box, {"app_id": app_id, "id": config_id, "name": None})
    if found is None:
        raise NotFound(f"There is no SMTP server {config_id} in this app.", field="smtp_config_id")
    return found


def get_by_name(session: Session, box: SecretBox, app_id: UUID, name: str) -> SmtpConfig:
    """Return a server of an app by its name; raises NotFound suggesting the nearest, SealBroken."""
    found = _find(session, box, {"app_id": app_id, "id": None, "name": name.strip()})
    if found is None:
        raise checks.not_found("SMTP server", name, list_names(session, app_id))
    return found


def list_names(session: Session, app_id: UUID) -> list[str]:
    """Return the names of an app's servers, sorted."""
    query = "SELECT name FROM smtp_configs WHERE app_id = %s ORDER BY name"
    return [name for (name,) in session.execute(query, (app_id,)).fetchall()]


def _find(session: Session, box: SecretBox, binds: dict[str, Any]) -> SmtpConfig | None:
    row = session.cursor(row_factory=dict_row).execute(_FIND, binds).fetchone()
    if row is None:
        return None
    sealed = row.pop("password_sealed")
    password = None if sealed is None else box.open(sealed, **_place(row["id"], row["app_id"]))
    return SmtpConfig(**row | {"security": Security(row["security"]), "password": password})


def _sealed(box: SecretBox, config: SmtpConfig) -> str | None:
    if config.password is None:
        return None
    return box.seal(config.password, **_place(config.id, config.app_id))


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
