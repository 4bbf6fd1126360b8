"""The log of deliveries, and delivering again: one, all that failed, or those of a time."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.db.session import Session
from app.errors import Conflict, NotFound
from app.webhooks import fanout


class DeliveryStatus(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDelivery:
    """One delivery with its last try. Bodies of answers are cut; signatures are as they were sent."""

    id: UUID
    endpoint_id: UUID
    url: str
    event: str
    email_id: UUID | None
    status: DeliveryStatus
    attempts: int
    payload: dict[str, Any]
    request_headers: dict[str, str] | None
    response_code: int | None
    response_body: str | None
    error: str | None
    duration_ms: int | None
    due_at: dt.datetime | None
    attempted_at: dt.datetime | None
    delivered_at: dt.datetime | None
    created_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which deliveries of an app: those that match every field that is set; times of creation."""

    app_id: UUID
    endpoint_id: UUID | None = None
    email_id: UUID | None = None
    status: DeliveryStatus | None = None
    event: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


_WHERE = """
d.app_id = %(app)s AND (%(endpoint)s::uuid IS NULL OR d.endpoint_id = %(endpoint)s)
  AND (%(email)s::uuid IS NULL OR d.email_id = %(email)s)
  AND (%(status)s::text IS NULL OR d.status = %(status)s)
  AND (%(event)s::text IS NULL OR d.event = %(event)s)
  AND (%(since)s::timestamptz IS NULL OR d.created_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR d.created_at < %(until)s)"""
_PAGE = f"""
SELECT d.id, d.endpoint_id, w.url, d.event, d.email_id, d.status, d.attempts, d.payload,
       d.request_headers, d.response_code, d.response_body, d.error, d.duration_ms, d.due_at,
       d.attempted_at, d.delivered_at, d.created_at
FROM webhook_deliveries d JOIN webhook_endpoints w ON w.id = d.endpoint_id
WHERE {_WHERE} AND (%(after)s::uuid IS NULL OR d.id < %(after)s)
ORDER BY d.id DESC LIMIT %(limit)s"""  # noqa: S608 - constants

# What is under way is left alone; what waits is tried now.
_AGAIN = """
UPDATE webhook_deliveries d SET status = 'pending', due_at = now(), attempts = 0, error = NULL,
  delivered_at = NULL
WHERE {where} AND d.lease_until IS NULL"""
_ONE_AGAIN = _AGAIN.format(where="d.app_id = %(app)s AND d.id = %(id)s")
_MANY_AGAIN = _AGAIN.format(where=_WHERE)
_AWAKE = """
UPDATE webhook_endpoints SET resting_until = NULL
WHERE app_id = %(app)s AND (%(endpoint)s::uuid IS NULL OR id = %(endpoint)s)"""


def list_page(
    session: Session, choice: Choice, *, after: UUID | None, limit: int
) -> list[LoggedDelivery]:
    """Return deliveries, newest first (index webhook_deliveries_app_id_id)."""
    binds = _binds(choice) | {"after": after, "limit": limit}
    rows = session.cursor(row_factory=dict_row).execute(_PAGE, binds).fetchall()
    return [LoggedDelivery(**row | {"status": DeliveryStatus(row["status"])}) for row in rows]


def retry(session: Session, app_id: UUID, delivery_id: UUID) -> None:
    """Deliver once more, now, whatever became of it; raises NotFound, Conflict (under way)."""
    if session.execute(_ONE_AGAIN, {"app": app_id, "id": delivery_id}).rowcount:
        row = session.execute(
            "SELECT endpoint_id FROM webhook_deliveries WHERE id = %s", (delivery_id,)
        ).fetchone()
        session.execute(_AWAKE, {"app": app_id, "endpoint": row[0] if row else None})
        return
    query = "SELECT FROM webhook_deliveries WHERE app_id = %s AND id = %s"
    if session.execute(query, (app_id, delivery_id)).fetchone() is None:
        raise NotFound("There is no such delivery in this app.", fix="See the webhooks' log.")
    raise Conflict(
        "This delivery is under way.",
        why="A worker is sending it now.",
        fix="Look at the log in a few seconds.",
    )


def retry_all(session: Session, choice: Choice) -> int:
    """Deliver everything chosen once more, now; return how many."""
    binds = _binds(choice)
    done = session.execute(_MANY_AGAIN, binds).rowcount
    if done:
        session.execute(_AWAKE, binds)
    return done


def forget(session: Session, before: dt.datetime, limit: int = 5_000) -> int:
    """Delete at most `limit` finished deliveries made before `before`; return how many."""
    return session.execute(
        "DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY(SELECT id FROM webhook_deliveries "
        "WHERE created_at < %s AND due_at IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))",
        (before, limit),
    ).rowcount


def _binds(choice: Choice) -> dict[str, Any]:
    return {
        "app": choice.app_id,
        "endpoint": choice.endpoint_id,
        "email": choice.email_id,
        "status": choice.status,
        "event": choice.event,
        "since": choice.since,
        "until": choice.until,
    }


def erase(session: Session, email_ids: Sequence[UUID]) -> dict[str, int]:
    """Delete every delivery about these mails, told or not; return rows by table."""
    # A fan-out that has read the address commits first; the next one starts after the erasure.
    session.execute("SELECT pg_advisory_xact_lock(%s)", (fanout.LOCK,))
    gone = session.execute(
        "DELETE FROM webhook_deliveries WHERE email_id = ANY(%s) RETURNING id", (list(email_ids),)
    ).fetchall()
    return {"webhook_deliveries": len(gone)}
