"""API keys: made, listed masked, revoked, rotated with a grace period. Who holds one: keyring."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, LiteralString
from uuid import UUID

from app.audit import AuditEntry, Author, record
from app.clock import utc_now
from app.db.session import Row, Session
from app.errors import Conflict, InputInvalid, NotFound
from app.ids import new_id
from app.tenancy import checks, key_text, scopes
from app.tenancy.keyring import Network
from app.tenancy.scopes import Scope

LONGEST_GRACE = dt.timedelta(days=30)
RATES = range(1, 1_000_001)

# Keys a rotation leaves valid beside the new one; older ones of the line are revoked.
_MOST_OLD = 2
_MOST_NETWORKS = 100
_LONGEST_LIFE = dt.timedelta(days=36_525)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to create; `networks` as CIDR or single addresses, empty = from anywhere.

    `per_minute`: requests a minute, None = the default of the system.
    """

    app_id: UUID
    name: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...] = ()
    expires_at: dt.datetime | None = None
    per_minute: int | None = None
    is_test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it stands; `masked` is all that is known of its text. `replaced_by`: its successor."""

    id: UUID
    app_id: UUID
    name: str
    masked: str
    is_test: bool
    scopes: tuple[Scope, ...]
    networks: tuple[Network, ...]
    per_minute: int | None
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    replaced_by: UUID | None
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A new key and its text, which is shown this once and never again."""

    key: ApiKey
    text: str = field(repr=False)


_COLUMNS = """id, app_id, key_id, name, is_test, scopes, allowed_networks, per_minute, expires_at,
       last_used_at, revoked_at, replaced_by, created_at"""
_INSERT = f"""
INSERT INTO api_keys
    (id, app_id, key_id, name, secret_hash, scopes, allowed_networks, expires_at, per_minute,
     is_test)
VALUES
    (%(id)s, %(app_id)s, %(key_id)s, %(name)s, %(secret_hash)s, %(scopes)s,
     %(allowed_networks)s::cidr[], %(expires_at)s, %(per_minute)s, %(is_test)s)
RETURNING {_COLUMNS}"""  # noqa: S608 - constants of this module
_GET = f"SELECT {_COLUMNS} FROM api_keys WHERE app_id = %(app_id)s AND id = %(id)s"  # noqa: S608 - as above
# Newest first; index api_keys_app_id_id.
_PAGE = f"""
SELECT {_COLUMNS} FROM api_keys
WHERE app_id = %(app_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - as above
_REVOKE = """
UPDATE api_keys SET revoked_at = now()
WHERE app_id = %s AND id = %s AND revoked_at IS NULL RETURNING id"""
# Guarded: of two rotations at once, one wins.
_REPLACE = """
UPDATE api_keys SET replaced_by = %(successor)s,
       expires_at = least(expires_at, now() + %(grace)s)
WHERE app_id = %(app_id)s AND id = %(id)s AND replaced_by IS NULL AND revoked_at IS NULL
RETURNING id"""
# The keys before `id` in its line, nearest first, without the first `kept` of them.
_REVOKE_ANCESTORS = """
WITH RECURSIVE line AS (
    SELECT id, 1 AS age FROM api_keys WHERE app_id = %(app_id)s AND replaced_by = %(id)s
    UNION ALL
    SELECT k.id, line.age + 1 FROM line JOIN api_keys k ON k.replaced_by = line.id
    WHERE k.app_id = %(app_id)s AND line.age < 100)
UPDATE api_keys SET revoked_at = now()
WHERE revoked_at IS NULL AND id IN (SELECT id FROM line WHERE age > %(kept)s)"""


def create(session: Session, pepper: str, new: NewKey, author: Author) -> IssuedKey:
    """Create a key; its text is returned this once. Raises InputInvalid naming the field."""
    checked_scopes = scopes.parse(new.scopes)
    checks.within_or_none(new.per_minute, RATES, "per_minute")
    text = key_text.fresh(is_test=new.is_test)
    row = {
        "id": new_id(),
        "app_id": new.app_id,
        "key_id": text.public_id,
        "name": checks.name(new.name),
        "secret_hash": key_text.digest(text.secret, pepper),
        "scopes": list(checked_scopes),
        "allowed_networks": _networks(new.networks),
        "expires_at": _future(new.expires_at),
        "per_minute": new.per_minute,
        "is_test": new.is_test,
    }
    with session.transaction():
        (made,) = _keys(session, _INSERT, row)
        record(session, _entry(made, author, "api_key.created"))
    return IssuedKey(key=made, text=str(text))


def get(session: Session, app_id: UUID, key_id: UUID) -> ApiKey:
    """Return a key of an app; raises NotFound."""
    found = _keys(session, _GET, {"app_id": app_id, "id": key_id})
    if not found:
        raise NotFound(f"There is no API key {key_id} in this app.", field="api_key")
    return found[0]


def list_page(
    session: Session, app_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[ApiKey]:
    """Return keys of an app, newest first, below the id `after`; revoked ones too."""
    return _keys(session, _PAGE, {"app_id": app_id, "after": after, "limit": limit})


def revoke(session: Session, app_id: UUID, key_id: UUID, author: Author) -> ApiKey:
    """Close a key; within keyring.MEMORY_S it opens nothing anywhere. Revoked twice is revoked.

    Raises NotFound.
    """
    with session.transaction():
        before = get(session, app_id, key_id)
        if session.execute(_REVOKE, (app_id, key_id)).fetchone() is None:
            return before
        record(session, _entry(before, author, "api_key.revoked"))
        return get(session, app_id, key_id)


def rotate(
    session: Session, pepper: str, old: ApiKey, grace: dt.timedelta, author: Author
) -> IssuedKey:
    """Make a key with the rights of `old`, which stays valid for `grace` from now.

    Of a line of rotated keys only the newest few stay valid, whatever their grace. Raises
    InputInvalid (grace_s), and Conflict when `old` was revoked or replaced already.
    """
    if not dt.timedelta() <= grace <= LONGEST_GRACE:
        raise InputInvalid(
            "The old key cannot stay valid for so long.",
            why=f"The grace period is 0 to {LONGEST_GRACE.days * 86_400} seconds.",
            field="grace_s",
        )
    with session.transaction():
        issued = create(session, pepper, _like(old), author)
        binds = {"app_id": old.app_id, "id": old.id, "successor": issued.key.id, "grace": grace}
        if session.execute(_REPLACE, binds).fetchone() is None:
            raise Conflict(
                "This key cannot be rotated.",
                why="It was revoked, or another key replaced it already.",
                fix="Rotate its successor, or create a new key.",
            )
        kept = {"app_id": old.app_id, "id": issued.key.id, "kept": _MOST_OLD}
        session.execute(_REVOKE_ANCESTORS, kept)
        after = {"replaced_by": str(issued.key.id), "grace_s": grace.total_seconds()}
        record(session, _entry(old, author, "api_key.rotated", after))
    return issued


def _like(old: ApiKey) -> NewKey:
    """Return a key like `old`, which lives as long as it did, from now."""
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    return NewKey(
        app_id=old.app_id,
        name=old.name,
        scopes=old.scopes,
        networks=tuple(str(network) for network in old.networks),
        expires_at=None if lifetime is None else utc_now() + lifetime,
        per_minute=old.per_minute,
        is_test=old.is_test,
    )


def _keys(session: Session, query: LiteralString, binds: Mapping[str, Any]) -> list[ApiKey]:
    return [_key(row) for row in session.execute(query, binds).fetchall()]


def _key(row: Row) -> ApiKey:
    return ApiKey(
        id=row[0],
        app_id=row[1],
        masked=key_text.masked(row[2], is_test=row[4]),
        name=row[3],
        is_test=row[4],
        scopes=tuple(Scope(name) for name in row[5] if name in set(Scope)),
        networks=tuple(row[6]),
        per_minute=row[7],
        expires_at=row[8],
        last_used_at=row[9],
        revoked_at=row[10],
        replaced_by=row[11],
        created_at=row[12],
    )


def _networks(given: Iterable[str]) -> list[str]:
    texts = list(given)
    if len(texts) > _MOST_NETWORKS:
        raise InputInvalid(
            "A key cannot be tied to so many networks.",
            why=f"At most {_MOST_NETWORKS} are allowed.",
            field="allowed_networks",
        )
    return [str(_network(text)) for text in texts]


def _network(text: str) -> Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise InputInvalid(
            f"{text[:60]!r} is no network.",
            why="A network is written as 192.0.2.0/24, 2001:db8::/32, or one address.",
            field="allowed_networks",
        ) from error


def _future(expires_at: dt.datetime | None) -> dt.datetime | None:
    now = utc_now()
    if expires_at is not None and not now < expires_at <= now + _LONGEST_LIFE:
        raise InputInvalid(
            "The key cannot expire at this time.",
            why=f"{expires_at.isoformat()} is over, or more than 100 years away.",
            fix="Leave it out for a key that does not expire.",
            field="expires_at",
        )
    return expires_at


def _entry(
    key: ApiKey, author: Author, action: str, after: Mapping[str, Any] | None = None
) -> AuditEntry:
    facts = {"name": key.name, "key": key.masked, "scopes": key.scopes}
    return AuditEntry(
        app_id=key.app_id,
        author=author,
        action=action,
        target_kind="api_key",
        target_id=key.id,
        after=facts | dict(after or {}),
    )
