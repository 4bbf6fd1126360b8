"""Reading the rows of dead letters: grouped by fingerprint, chosen in batches, still to be published."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from psycopg.rows import dict_row

from app.db.session import Session
from app.queueing.dead_letters import DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which open dead letters: those that match every field that is set; `before`: died earlier."""

    app_id: UUID | None = None
    ids: tuple[UUID, ...] | None = None
    fingerprint: str | None = None
    queue: str | None = None
    before: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Open dead letters with the same error at the same place of the same queue."""

    fingerprint: str
    queue: str
    error_class: str
    error: str
    count: int
    first_at: dt.datetime
    last_at: dt.datetime


_WHERE = """
status = 'open' AND (%(app)s::uuid IS NULL OR app_id = %(app)s)
  AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s))
  AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
  AND (%(before)s::timestamptz IS NULL OR failed_at < %(before)s)"""

_GROUPS = f"""
SELECT fingerprint, queue, min(error_class) AS error_class,
       (array_agg(error ORDER BY failed_at DESC))[1] AS error,
       count(*) AS count, min(failed_at) AS first_at, max(failed_at) AS last_at
FROM dead_letters WHERE {_WHERE}
GROUP BY fingerprint, queue ORDER BY count DESC, last_at DESC LIMIT %(limit)s"""  # noqa: S608 - constants

_COLUMNS = (
    "id, app_id, queue, actor, message, error_class, error, traceback, fingerprint, attempts, "
    "request_id, failed_at, reason"
)
_OPEN = f"""
SELECT {_COLUMNS} FROM dead_letters WHERE {_WHERE} AND id > %(after)s
ORDER BY id LIMIT %(limit)s"""  # noqa: S608 - constants

_UNPUBLISHED = f"""
SELECT {_COLUMNS} FROM dead_letters WHERE published_at IS NULL ORDER BY id LIMIT %s"""  # noqa: S608 - constants

_FIRST = UUID(int=0)


def groups(session: Session, choice: Choice, limit: int = 100) -> list[Group]:
    """Return open dead letters by fingerprint and queue, the most frequent first."""
    rows = session.cursor(row_factory=dict_row).execute(_GROUPS, _binds(choice, limit)).fetchall()
    return [Group(**row) for row in rows]


def open_letters(
    session: Session, choice: Choice, *, limit: int, after: UUID = _FIRST
) -> list[DeadLetter]:
    """Return at most `limit` open dead letters behind the id `after`, in id order."""
    binds = _binds(choice, limit) | {"after": after}
    rows = session.cursor(row_factory=dict_row).execute(_OPEN, binds).fetchall()
    return [_letter(row) for row in rows]


def unpublished(session: Session, limit: int) -> list[DeadLetter]:
    """Return dead letters whose message RabbitMQ has not confirmed (index dead_letters_unpublished)."""
    rows = session.cursor(row_factory=dict_row).execute(_UNPUBLISHED, (limit,)).fetchall()
    return [_letter(row) for row in rows]


def mark_published(session: Session, ids: Sequence[UUID]) -> None:
    """Note that RabbitMQ has confirmed these."""
    session.execute("UPDATE dead_letters SET published_at = now() WHERE id = ANY(%s)", (list(ids),))


def open_by_queue(session: Session) -> dict[str, int]:
    """Return how many open dead letters each work queue has."""
    rows = session.execute(
        "SELECT queue, count(*) FROM dead_letters WHERE status = 'open' GROUP BY 1"
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def _binds(choice: Choice, limit: int) -> dict[str, Any]:
    return {
        "app": choice.app_id,
        "ids": None if choice.ids is None else list(choice.ids),
        "fingerprint": choice.fingerprint,
        "queue": choice.queue,
        "before": choice.before,
        "limit": limit,
    }


def _letter(row: dict[str, Any]) -> DeadLetter:
    message = row.pop("message")
    undecodable = message.get("undecodable") if isinstance(message, dict) else None
    body = orjson.dumps(message) if undecodable is None else str(undecodable).encode()
    return DeadLetter(**row | {"body": body, "reason": row["reason"] or ""})
