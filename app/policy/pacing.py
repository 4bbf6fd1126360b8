"""The pace of recipient domains, one row per app and domain, shared by all workers.

The rules are app/policy/throttle; a row is read with each route (every two seconds), written when a
server complains or a person overrides. An override made by SQL holds within two seconds, too.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from app.audit import AuditEntry, Author, record
from app.db.session import Session, one
from app.errors import InputInvalid, NotFound
from app.mail.address import ascii_domain
from app.policy import throttle
from app.policy.throttle import Pace, Pacing
from app.redaction import without_addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainPacing(Pacing):
    """A domain's row: the pacing, what the server said last, and by which rules it was judged."""

    domain: str
    last_reply: str | None
    rules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """The pace a person wants; None ends the override. `until` None = until it is ended."""

    per_minute: int | None
    connections: int | None = None
    until: dt.datetime | None = None


MOST = 1_000_000  # mails a minute, connections

_COLUMNS = (
    "per_minute, connections, slowed_at, override_per_minute, override_connections, override_until"
)
_NAMES = tuple(_COLUMNS.split(", "))
_OF_APPS = f"SELECT app_id, domain, {_COLUMNS} FROM domain_pacing WHERE app_id = ANY(%s)"  # noqa: S608 - constants
_ALL = f"""
SELECT domain, last_reply, rules, {_COLUMNS} FROM domain_pacing
WHERE app_id = %(app)s AND (%(domain)s::text IS NULL OR domain = %(domain)s) ORDER BY domain"""  # noqa: S608 - constants
# The row has to exist to be locked; two complaints at once are judged one after the other.
_LOCKED = f"""
INSERT INTO domain_pacing (app_id, domain) VALUES (%(app)s, %(domain)s)
ON CONFLICT (app_id, domain) DO UPDATE SET rules = domain_pacing.rules
RETURNING {_COLUMNS}"""  # noqa: S608 - constants
_SLOW = """
UPDATE domain_pacing SET per_minute = %(per_minute)s, connections = %(connections)s,
  slowed_at = %(slowed_at)s, last_reply = %(reply)s, rules = %(rules)s
WHERE app_id = %(app)s AND domain = %(domain)s"""
_OVERRIDE = """
INSERT INTO domain_pacing
  (app_id, domain, override_per_minute, override_connections, override_until)
VALUES (%(app)s, %(domain)s, %(per_minute)s, %(connections)s, %(until)s)
ON CONFLICT (app_id, domain) DO UPDATE SET override_per_minute = excluded.override_per_minute,
  override_connections = excluded.override_connections, override_until = excluded.override_until"""


def list_all(session: Session, app_id: UUID) -> list[DomainPacing]:
    """Return the domains of an app that were ever slowed or overridden, by name (primary key)."""
    cursor = session.cursor(row_factory=class_row(DomainPacing))
    return cursor.execute(_ALL, {"app": app_id, "domain": None}).fetchall()


def paces(session: Session, app_id: UUID, now: dt.datetime) -> dict[str, Pace]:
    """Return the domains of an app that are limited at `now`."""
    return {domain: pace for (_, domain), pace in paces_of(session, [app_id], now).items()}


def paces_of(
    session: Session, app_ids: Sequence[UUID], now: dt.datetime
) -> dict[tuple[UUID, str], Pace]:
    """Return the (app, domain) pairs of these apps that are limited at `now`."""
    found = {}
    for app_id, domain, *columns in session.execute(_OF_APPS, (list(app_ids),)).fetchall():
        pace = throttle.pace(_pacing(columns), now)
        if pace is not None:
            found[app_id, domain] = pace
    return found


def _pacing(columns: Sequence[Any]) -> Pacing:
    return Pacing(**dict(zip(_NAMES, columns, strict=True)))


def slow(session: Session, app_id: UUID, replies: Mapping[str, str], now: dt.datetime) -> None:
    """Slow the domains whose servers asked for it; `replies` holds what each one said."""
    with session.transaction():
        for domain, reply in sorted(replies.items()):
            binds = {"app": app_id, "domain": domain}
            before = _pacing(one(session, _LOCKED, binds) or ())
            after = throttle.slowed(before, now)
            if after != before:
                session.execute(_SLOW, binds | _slowed_binds(after, reply))


def _slowed_binds(after: Pacing, reply: str) -> dict[str, Any]:
    return {
        "per_minute": after.per_minute,
        "connections": after.connections,
        "slowed_at": after.slowed_at,
        "reply": without_addresses(reply[:500]),
        "rules": throttle.RULES,
    }


def override(
    session: Session, app_id: UUID, domain: str, wanted: Override, author: Author
) -> DomainPacing:
    """Set or end a person's pace for a domain of an app; audited. Raises InputInvalid."""
    domain = _checked_domain(domain, wanted)
    binds = {
        "app": app_id,
        "domain": domain,
        "per_minute": wanted.per_minute,
        "connections": wanted.connections,
        "until": wanted.until,
    }
    entry = AuditEntry(
        app_id=app_id,
        author=author,
        action="domain_pacing.overridden",
        target_kind="domain",
        target_id=domain,
        after={"per_minute": wanted.per_minute, "connections": wanted.connections},
    )
    with session.transaction():
        session.execute(_OVERRIDE, binds)
        record(session, entry)
        return get(session, app_id, domain)


def _checked_domain(domain: str, wanted: Override) -> str:
    for name in ("per_minute", "connections"):
        value = getattr(wanted, name)
        if value is not None and not 1 <= value <= MOST:
            raise InputInvalid(
                f"{name} cannot be {value}.", why=f"It must be from 1 to {MOST:,}.", field=name
            )
    try:
        found = ascii_domain(domain.strip().removesuffix("."))
    except UnicodeError:
        found = ""
    if "." not in found or "@" in found or not found.isprintable() or " " in found:
        raise InputInvalid(
            f"{domain[:80]!r} is not a domain.",
            fix="Write it as it stands behind the @, such as example.com.",
            field="domain",
        )
    return found.lower()


def get(session: Session, app_id: UUID, domain: str) -> DomainPacing:
    """Return the row of a domain; raises NotFound."""
    cursor = session.cursor(row_factory=class_row(DomainPacing))
    found = cursor.execute(_ALL, {"app": app_id, "domain": domain}).fetchone()
    if found is None:
        raise NotFound(f"The domain {domain!r} was never slowed for this app.", field="domain")
    return found
