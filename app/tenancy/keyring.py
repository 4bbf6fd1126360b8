"""Who an API key belongs to, without a round trip per request.

A found key is remembered for MEMORY_S: so long may a key still open doors in another process after
it was revoked. An unknown id is remembered too and compared like a known one, so that neither the
answer nor its time tells whether an id exists.
"""

import datetime as dt
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from uuid import UUID

from app.clock import monotonic_s
from app.db.session import Row, Session, one
from app.errors import ConfigurationInvalid, Forbidden, Unauthorized
from app.tenancy.key_text import digest, read_key
from app.tenancy.scopes import Scope, effective

MEMORY_S = 5.0

_MOST_REMEMBERED = 10_000
_TOUCH_S = 60.0
_NOBODY = bytes(32)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """Whom a key speaks for. `networks`: from where it may be used, empty = from anywhere.

    `per_minute`: its own limit of requests, None = the default.
    """

    key_id: UUID
    public_id: str
    app_id: UUID
    is_test: bool
    scopes: frozenset[Scope]
    networks: tuple[Network, ...]
    expires_at: dt.datetime | None
    per_minute: int | None
    app_status: str
    app_is_sandbox: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundKey:
    """A key's row: its holder, and what its secret is compared with."""

    holder: KeyHolder
    secret_hash: bytes = field(repr=False)
    is_revoked: bool


_FIND = """
SELECT k.id, k.key_id, k.app_id, k.is_test, k.scopes, k.allowed_networks, k.expires_at,
       k.per_minute, apps.status, apps.is_sandbox, k.secret_hash, k.revoked_at IS NOT NULL
FROM api_keys k JOIN apps ON apps.id = k.app_id WHERE k.key_id = %s"""
_TOUCH = """
UPDATE api_keys SET last_used_at = now()
WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')"""


def find(session: Session, public_id: str) -> FoundKey | None:
    """Return the key of any app by its public id, revoked ones too (index api_keys_key_id_key).

    Needs a worker's session: which app it is follows from the key.
    """
    row = one(session, _FIND, (public_id,))
    return None if row is None else _found(row)


def _found(row: Row) -> FoundKey:
    holder = KeyHolder(
        key_id=row[0],
        public_id=row[1],
        app_id=row[2],
        is_test=row[3],
        # A scope of a newer release is not held by this one.
        scopes=effective(Scope(name) for name in row[4] if name in set(Scope)),
        networks=tuple(row[5]),
        expires_at=row[6],
        per_minute=row[7],
        app_status=row[8],
        app_is_sandbox=row[9],
    )
    return FoundKey(holder=holder, secret_hash=row[10], is_revoked=row[11])


class Keyring:
    """The keys one process has seen; safe to share between threads.

    `pepper` is the setting's, and must not be empty.
    """

    def __init__(self, pepper: str, clock_s: Callable[[], float] = monotonic_s) -> None:
        if not pepper:
            raise ConfigurationInvalid(
                "MAILQUEUE_API_KEY_PEPPER is not set.",
                why="API keys are compared by a hash under it.",
                fix="Run `mailqueue init`, or set it as on the other hosts.",
                field="api_key_pepper",
            )
        self._pepper = pepper
        self._clock_s = clock_s
        self._seen: dict[str, tuple[float, FoundKey | None]] = {}
        self._touched: dict[UUID, float] = {}

    def holder(
        self, open_session: Callable[[], Session], text: str, *, origin: Address, now: dt.datetime
    ) -> KeyHolder:
        """Return whom the key in `text` speaks for; asks the database once in MEMORY_S.

        Raises Unauthorized, always in the same words, for what is no valid key, and Forbidden for
        a valid key of a suspended app or from an address it may not be used from.
        """
        key = read_key(text)
        if key is None:
            raise _unauthorized()
        found = self._remembered(open_session, key.public_id)
        expected = _NOBODY if found is None else found.secret_hash
        is_same = hmac.compare_digest(digest(key.secret, self._pepper), expected)
        if found is None or not is_same or found.is_revoked or _is_over(found.holder, now):
            raise _unauthorized()
        if found.holder.is_test is not key.is_test:
            raise _unauthorized()
        _require_open(found.holder, origin)
        self._touch(open_session, found.holder.key_id)
        return found.holder

    def _remembered(self, open_session: Callable[[], Session], public_id: str) -> FoundKey | None:
        now_s = self._clock_s()
        seen = self._seen.get(public_id)
        if seen is not None and now_s - seen[0] < MEMORY_S:
            return seen[1]
        found = find(open_session(), public_id)
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[public_id] = (now_s, found)
        return found

    def _touch(self, open_session: Callable[[], Session], key_id: UUID) -> None:
        """Note that the key was used: at most once a minute."""
        now_s = self._clock_s()
        last = self._touched.get(key_id)
        if last is None or now_s - last >= _TOUCH_S:
            self._touched[key_id] = now_s
            open_session().execute(_TOUCH, (key_id,))


def _is_over(holder: KeyHolder, now: dt.datetime) -> bool:
    return holder.expires_at is not None and holder.expires_at <= now


def _require_open(holder: KeyHolder, origin: Address) -> None:
    if isinstance(origin, IPv6Address) and origin.ipv4_mapped is not None:
        origin = origin.ipv4_mapped
    if holder.networks and not any(origin in network for network in holder.networks):
        raise Forbidden(
            "This key may not be used from this address.",
            why=f"The request came from {origin}, which is in none of the key's networks.",
            fix="Use it from an allowed network, or change the key's allowed_networks.",
        )
    if holder.app_status != "active":
        raise Forbidden(
            "This app is suspended.",
            why="Its keys open nothing while it is.",
            fix="Ask the operator of this system.",
        )


def _unauthorized() -> Unauthorized:
    return Unauthorized(
        "The API key is missing or wrong.",
        why="It is unknown, revoked, expired or not complete.",
        fix="Send Authorization: Bearer mq_live_... with a key of your app.",
        field="Authorization",
    )
