"""Signing in: a password for a token of 15 minutes, and whom a token speaks for (RFC 7519).

Tokens are signed with HS256 by the newest of the keys in MAILQUEUE_JWT_KEYS; older keys verify
until they are taken out. Who a person is *now* is looked up at most every MEMORY_S seconds: so long
may a token outlive its person's rights.
"""

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

import jwt

from app.clock import monotonic_s
from app.db.session import Session, one
from app.errors import (
    ConfigurationInvalid,
    Forbidden,
    InputInvalid,
    NotFound,
    RateLimited,
    Unauthorized,
)
from app.policy.request_limits import TakeRequest
from app.privacy import address_hash
from app.tenancy import passwords, users
from app.tenancy.users import User

TOKEN_LIFE = dt.timedelta(minutes=15)
MEMORY_S = 5.0

_ISSUER = "mailqueue"
_ALGORITHM = "HS256"
_CLAIMS = ["sub", "iss", "iat", "exp", "jti"]
_SHORTEST_KEY = 32  # bytes; RFC 7518, 3.2
_MOST_REMEMBERED = 10_000
_TRIES_OF_ADDRESS, _TRIES_OF_ORIGIN = 5, 30  # a minute

_PASSWORD = "SELECT password_hash FROM users WHERE id = %s"  # noqa: S105 - a query
_NOTE_LOGIN = "UPDATE users SET last_login_at = now() WHERE id = %s"
_REHASH = "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Somebody who says who they are, from where."""

    email: str
    password: str = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A token, and until when it opens doors."""

    token: str = field(repr=False)
    expires_at: dt.datetime
    user: User


class SigningKeys:
    """The keys that sign tokens, oldest first."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        if not keys or any(len(key.encode()) < _SHORTEST_KEY for key in keys):
            raise ConfigurationInvalid(
                "MAILQUEUE_JWT_KEYS cannot be used.",
                why=f"Each key has at least {_SHORTEST_KEY} bytes, and there is at least one.",
                fix="Run `mailqueue init`, or set it to `openssl rand -hex 32`.",
                field="jwt_keys",
            )
        self._keys = keys

    @classmethod
    def from_setting(cls, setting: str) -> Self:
        """Read comma-separated keys; raises ConfigurationInvalid."""
        return cls(tuple(key.strip() for key in setting.split(",") if key.strip()))

    def issue(self, user: User, now: dt.datetime) -> Ticket:
        """Return a token for a person; whole seconds, as the RFC counts them."""
        issued = now.replace(microsecond=0)
        claims = {
            "sub": str(user.id),
            "iss": _ISSUER,
            "role": user.role,
            "app": None if user.app_id is None else str(user.app_id),
            "iat": issued,
            "exp": issued + TOKEN_LIFE,
            "jti": str(uuid.uuid4()),
        }
        token = jwt.encode(claims, self._keys[-1], _ALGORITHM)
        return Ticket(token=token, expires_at=issued + TOKEN_LIFE, user=user)

    def read(self, token: str, now: dt.datetime) -> tuple[UUID, dt.datetime]:
        """Return whose token it is and when it was issued; raises Unauthorized."""
        for key in reversed(self._keys):
            claims = _claims(token, key)
            if claims is not None and claims["exp"] > now.timestamp():
                return UUID(claims["sub"]), dt.datetime.fromtimestamp(claims["iat"], dt.UTC)
        raise _unauthorized()


def login(session: Session, take: TakeRequest, attempt: Attempt, *, pepper: str) -> User:
    """Return the person that an attempt proves to be; `pepper` is that of addresses.

    Guessing is slowed for each address and each origin, whether or not the person exists. Raises
    RateLimited, Unauthorized in the same words and time for every reason, and Forbidden for who
    has a second factor.
    """
    spelled = attempt.email.strip().lower()
    _require_patience(take, f"login:{address_hash(spelled, pepper).hex()}", _TRIES_OF_ADDRESS)
    _require_patience(take, f"login-from:{attempt.origin}", _TRIES_OF_ORIGIN)
    user = _known(session, spelled)
    kept = None if user is None else _kept(session, user)
    is_right = passwords.matches(kept, attempt.password)
    if user is None or kept is None or not is_right or user.disabled_at is not None:
        raise Unauthorized(
            "The address or the password is wrong.",
            why="No person of this address may sign in with this password.",
            field="password",
        )
    if user.has_second_factor:
        raise Forbidden(
            "This person signs in with a second factor.",
            why="A password alone gives them no token.",
            fix="Sign in at the console, or use an API key.",
        )
    if passwords.is_outdated(kept):
        session.execute(_REHASH, (passwords.hashed(attempt.password), user.id, kept))
    session.execute(_NOTE_LOGIN, (user.id,))
    return user


class People:
    """Whom tokens speak for, as one process knows it; safe to share between threads."""

    def __init__(self, keys: SigningKeys, clock_s: Callable[[], float] = monotonic_s) -> None:
        self._keys = keys
        self._clock_s = clock_s
        self._seen: dict[UUID, tuple[float, User]] = {}

    def person(self, open_session: Callable[[], Session], token: str, now: dt.datetime) -> User:
        """Return whose token it is, as they stand now; raises Unauthorized, always in the same words.

        Needs a worker's session, once in MEMORY_S.
        """
        user_id, issued_at = self._keys.read(token, now)
        user = self._remembered(open_session, user_id)
        changed = user.password_changed_at
        if changed is not None and issued_at < changed.replace(microsecond=0):
            raise _unauthorized()
        if user.disabled_at is not None:
            raise _unauthorized()
        return user

    def _remembered(self, open_session: Callable[[], Session], user_id: UUID) -> User:
        now_s = self._clock_s()
        seen = self._seen.get(user_id)
        if seen is not None and now_s - seen[0] < MEMORY_S:
            return seen[1]
        try:
            user = users.get(open_session(), user_id)
        except NotFound as error:
            raise _unauthorized() from error
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[user_id] = (now_s, user)
        return user


def _claims(token: str, key: str) -> dict[str, Any] | None:
    """Return the claims that `key` signed; the time is checked by the caller, who knows it."""
    options: Any = {"require": _CLAIMS, "verify_exp": False, "verify_iat": False}
    try:
        found = jwt.decode(token, key, [_ALGORITHM], options=options, issuer=_ISSUER)
    except jwt.InvalidTokenError:
        return None
    return found


def _require_patience(take: TakeRequest, bucket: str, per_minute: int) -> None:
    allowance = take(bucket, per_minute, per_minute)
    if not allowance.is_allowed:
        raise RateLimited(
            "Too many attempts to sign in.",
            why=f"{per_minute} a minute are allowed.",
            fix=f"Wait {allowance.retry_after_s} s.",
        )


def _known(session: Session, spelled: str) -> User | None:
    try:
        return users.find_by_email(session, spelled)
    except InputInvalid:
        return None


def _kept(session: Session, user: User) -> str | None:
    row = one(session, _PASSWORD, (user.id,))
    return None if row is None else row[0]


def _unauthorized() -> Unauthorized:
    return Unauthorized(
        "The token is not valid.",
        why="It is expired, not one of ours, or its person may not sign in any more.",
        fix="Sign in again: POST /v1/login.",
        field="Authorization",
    )
