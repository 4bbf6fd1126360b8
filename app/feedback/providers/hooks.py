"""Where an app's mail providers tell their events: an unguessable address and what proves them.

The secret is sealed and never shown again. Which app is meant follows from the address alone.
"""

import datetime as dt
import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.audit import Author, entry_of, record
from app.db.session import Session
from app.errors import InputInvalid, NotFound
from app.feedback.providers import sendgrid, sns
from app.feedback.providers.event import Provider
from app.ids import new_id
from app.secretbox import Place, SecretBox

_entry = functools.partial(entry_of, "provider_hook")

MOST = 20
_SHORTEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHook:
    """A hook to be. `secret`: what proves the provider, of a form of its own for each."""

    app_id: UUID
    provider: Provider
    secret: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A hook as it stands; `token` ends the path its provider posts to."""

    id: UUID
    app_id: UUID
    provider: Provider
    description: str
    token: str
    secret_sealed: str
    created_at: dt.datetime


_COLUMNS = "id, app_id, provider, description, token, secret_sealed, created_at"
_INSERT = f"""
INSERT INTO provider_hooks (id, app_id, provider, description, token, secret_sealed)
VALUES (%(id)s, %(app)s, %(provider)s, %(description)s, %(token)s, %(sealed)s)
RETURNING {_COLUMNS}"""  # noqa: S608 - constants
_LIST = f"""
SELECT {_COLUMNS} FROM provider_hooks
WHERE app_id = %(app)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - constants
_GET = f"SELECT {_COLUMNS} FROM provider_hooks WHERE app_id = %(app)s AND id = %(id)s"  # noqa: S608
_FIND = f"SELECT {_COLUMNS} FROM provider_hooks WHERE token = %(token)s"  # noqa: S608 - constants


def create(session: Session, box: SecretBox, new: NewHook, author: Author) -> Hook:
    """Create a hook with a fresh address; raises InputInvalid (secret, or too many hooks)."""
    _require_secret(new)
    if len(list_page(session, new.app_id, after=None, limit=MOST)) == MOST:
        raise InputInvalid(
            f"This app has {MOST} provider hooks already.",
            why="More are never needed.",
            fix="Delete one.",
        )
    hook_id = new_id()
    binds = {
        "id": hook_id,
        "app": new.app_id,
        "provider": new.provider,
        "description": new.description,
        "token": secrets.token_urlsafe(32),
        "sealed": box.seal(new.secret, **_place(hook_id, new.app_id)),
    }
    (made,) = _found(session, _INSERT, binds)
    record(session, _entry(made, author, "created", after={"provider": new.provider}))
    return made


def list_page(session: Session, app_id: UUID, *, after: UUID | None, limit: int) -> list[Hook]:
    """Return an app's hooks, newest first (index provider_hooks_app_id_id)."""
    binds = {"app": app_id, "after": after, "limit": limit}
    return _found(session, _LIST, binds)


def get(session: Session, app_id: UUID, hook_id: UUID) -> Hook:
    """Return a hook; raises NotFound."""
    found = _found(session, _GET, {"app": app_id, "id": hook_id})
    if not found:
        raise NotFound("There is no such provider hook in this app.", fix="List the hooks.")
    return found[0]


def find(session: Session, token: str) -> Hook | None:
    """Return the hook of any app by the token of its address (key provider_hooks_token_key).

    Needs a worker's session: which app it is follows from the token.
    """
    return next(iter(_found(session, _FIND, {"token": token})), None)


def delete(session: Session, hook: Hook, author: Author) -> None:
    """Delete a hook: its address answers no more; what was told stays."""
    session.execute(
        "DELETE FROM provider_hooks WHERE app_id = %s AND id = %s", (hook.app_id, hook.id)
    )
    record(session, _entry(hook, author, "deleted", after={"provider": hook.provider}))


def secret_of(box: SecretBox, hook: Hook) -> str:
    """Return what proves a hook's provider; raises SealBroken."""
    return box.open(hook.secret_sealed, **_place(hook.id, hook.app_id))


def _found(session: Session, query: str, binds: Mapping[str, Any]) -> list[Hook]:
    rows = session.cursor(row_factory=dict_row).execute(query, binds).fetchall()
    return [Hook(**row | {"provider": Provider(row["provider"])}) for row in rows]


def _place(hook_id: UUID, app_id: UUID) -> Place:
    return Place(table="provider_hooks", column="secret_sealed", row_id=hook_id, app_id=app_id)


def _require_secret(new: NewHook) -> None:
    match new.provider:
        case Provider.SES if sns.TOPIC.fullmatch(new.secret) is None:
            raise _unusable("It is the ARN of an SNS topic: arn:aws:sns:<region>:<account>:<name>.")
        case Provider.SENDGRID:
            sendgrid.public_key(new.secret)
        case Provider.POSTMARK | Provider.MAILGUN if len(new.secret) < _SHORTEST:
            raise _unusable(f"It has fewer than {_SHORTEST} characters.")
        case _:
            return


def _unusable(why: str) -> InputInvalid:
    return InputInvalid(
        "This secret cannot prove the provider.",
        why=why,
        fix="See docs/inbound.md, Providers.",
        field="secret",
    )
