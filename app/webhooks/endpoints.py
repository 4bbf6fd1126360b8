"""Webhook endpoints of an app: where its news go, which news, and how they are signed.

The secret is shown when it is made and sealed at rest. While it rotates two are valid. An endpoint
that is paused keeps collecting deliveries and gets them when it is resumed; a disabled one is told
nothing of what happens meanwhile.
"""

import dataclasses
import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.audit import Author, entry_of, note_change, record
from app.db.session import Session
from app.errors import InputInvalid, NotFound
from app.ids import new_id
from app.secretbox import Place, SecretBox
from app.webhooks import signing
from app.webhooks.destination import Reach, require_allowed
from app.webhooks.events import Event

_entry = functools.partial(entry_of, "webhook")

MOST = 50


class EndpointStatus(StrEnum):
    """Whether an endpoint gets anything."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """An endpoint to be; empty `events` = all."""

    app_id: UUID
    url: str
    events: tuple[Event, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint as it stands. `failures` in a row since `failing_since`."""

    id: UUID
    app_id: UUID
    url: str
    events: tuple[Event, ...]
    description: str
    status: EndpointStatus
    pause_reason: str | None
    failures: int
    failing_since: dt.datetime | None
    resting_until: dt.datetime | None
    previous_secret_until: dt.datetime | None
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An endpoint with its secret, which is shown this once."""

    endpoint: Endpoint
    secret: str


_COLUMNS = (
    "id, app_id, url, events, description, status, pause_reason, failures, failing_since, "
    "resting_until, previous_secret_until, created_at"
)
_INSERT = f"""
INSERT INTO webhook_endpoints (id, app_id, url, events, description, secret_sealed)
VALUES (%(id)s, %(app_id)s, %(url)s, %(events)s, %(description)s, %(sealed)s)
RETURNING {_COLUMNS}"""  # noqa: S608 - constants
_LIST = f"""
SELECT {_COLUMNS} FROM webhook_endpoints
WHERE app_id = %(app)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - constants
_GET = f"SELECT {_COLUMNS} FROM webhook_endpoints WHERE app_id = %(app)s AND id = %(id)s"  # noqa: S608
# A change of status by a person forgets the failures: the endpoint starts anew.
_UPDATE = """
UPDATE webhook_endpoints SET url = %(url)s, events = %(events)s, description = %(description)s,
  status = %(status)s, pause_reason = %(pause_reason)s, failures = %(failures)s,
  failing_since = %(failing_since)s, resting_until = %(resting_until)s
WHERE app_id = %(app_id)s AND id = %(id)s"""
_ROTATE = """
UPDATE webhook_endpoints SET secret_sealed = %(sealed)s, previous_secret_sealed = secret_sealed,
  previous_secret_until = %(until)s
WHERE app_id = %(app)s AND id = %(id)s"""


def create(
    session: Session, box: SecretBox, new: NewEndpoint, reach: Reach, author: Author
) -> Issued:
    """Create an endpoint with a fresh secret; raises InputInvalid (url, or too many endpoints)."""
    require_allowed(new.url, reach)
    if len(list_page(session, new.app_id, after=None, limit=MOST)) == MOST:
        raise InputInvalid(
            f"This app has {MOST} webhooks already.",
            why="Each of them gets a request for each event.",
            fix="Delete one, or let one of them hand the events on.",
        )
    endpoint_id, secret = new_id(), signing.new_secret()
    binds = {
        "id": endpoint_id,
        "app_id": new.app_id,
        "url": new.url,
        "events": [str(event) for event in new.events],
        "description": new.description,
        "sealed": box.seal(secret, **place(endpoint_id, new.app_id)),
    }
    made = _found(session, _INSERT, binds)[0]
    record(
        session, _entry(made, author, "created", after={"url": new.url, "events": binds["events"]})
    )
    return Issued(endpoint=made, secret=secret)


def list_page(session: Session, app_id: UUID, *, after: UUID | None, limit: int) -> list[Endpoint]:
    """Return an app's endpoints, newest first (index webhook_endpoints_app_id_id)."""
    return _found(session, _LIST, {"app": app_id, "after": after, "limit": limit})


def get(session: Session, app_id: UUID, endpoint_id: UUID) -> Endpoint:
    """Return an endpoint; raises NotFound."""
    found = _found(session, _GET, {"app": app_id, "id": endpoint_id})
    if not found:
        raise NotFound("There is no such webhook in this app.", fix="List the webhooks.")
    return found[0]


def update(
    session: Session, old: Endpoint, changes: Mapping[str, Any], reach: Reach, author: Author
) -> Endpoint:
    """Change url, events, description or status; raises InputInvalid."""
    changed = dataclasses.replace(old, **changes)
    if changed.url != old.url:
        require_allowed(changed.url, reach)
    if changed.status is not old.status or changed.url != old.url:
        is_paused = changed.status is EndpointStatus.PAUSED
        changed = dataclasses.replace(
            changed,
            pause_reason="paused by a person" if is_paused else None,
            failures=0,
            failing_since=None,
            resting_until=None,
        )
    fields = dataclasses.asdict(changed)
    session.execute(_UPDATE, fields | {"events": [str(event) for event in changed.events]})
    before, after = _shown(old), _shown(changed)
    note_change(session, _entry(old, author, "changed"), before, after)
    return changed


def delete(session: Session, endpoint: Endpoint, author: Author) -> None:
    """Delete an endpoint with its deliveries."""
    session.execute(
        "DELETE FROM webhook_endpoints WHERE app_id = %s AND id = %s",
        (endpoint.app_id, endpoint.id),
    )
    record(session, _entry(endpoint, author, "deleted", after={"url": endpoint.url}))


def rotate(
    session: Session, box: SecretBox, endpoint: Endpoint, until: dt.datetime, author: Author
) -> Issued:
    """Give an endpoint a new secret; the one before signs as well until `until`."""
    secret = signing.new_secret()
    binds = {
        "app": endpoint.app_id,
        "id": endpoint.id,
        "until": until,
        "sealed": box.seal(secret, **place(endpoint.id, endpoint.app_id)),
    }
    session.execute(_ROTATE, binds)
    record(session, _entry(endpoint, author, "secret_rotated"))
    changed = dataclasses.replace(endpoint, previous_secret_until=until)
    return Issued(endpoint=changed, secret=secret)


def place(endpoint_id: UUID, app_id: UUID) -> Place:
    """Return where an endpoint's secret stands; the one before it stood in the same column."""
    return Place(
        table="webhook_endpoints", column="secret_sealed", row_id=endpoint_id, app_id=app_id
    )


def _found(session: Session, query: str, binds: Mapping[str, Any]) -> list[Endpoint]:
    rows = session.cursor(row_factory=dict_row).execute(query, binds).fetchall()
    return [_endpoint(row) for row in rows]


def _endpoint(row: dict[str, Any]) -> Endpoint:
    events = tuple(Event(name) for name in row["events"])
    return Endpoint(**row | {"events": events, "status": EndpointStatus(row["status"])})


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "url": endpoint.url,
        "events": _names(endpoint.events),
        "description": endpoint.description,
        "status": str(endpoint.status),
    }


def _names(events: Sequence[Event]) -> list[str]:
    return [str(event) for event in events]
