"""The ledger of released chunks: what was handed to the stages and how much of it is unfinished.

It is what bounds the mails in flight, and what the sweeper reads instead of an index on status.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from app.db.session import Session
from app.lifecycle.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One released chunk; `payload` is its assemble message, so it can be published again."""

    id: UUID
    app_id: UUID
    account_id: UUID
    lane: str
    payload: dict[str, Any]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranded:
    """What a stale chunk still holds: `queued` ids to publish again, `expired` leases to settle."""

    chunk: Chunk
    queued: tuple[UUID, ...]
    expired: tuple[tuple[UUID, int], ...]
    held: int


_OPEN = """
INSERT INTO released_chunks (id, app_id, account_id, lane, payload, remaining)
SELECT * FROM unnest(%(ids)s::uuid[], %(apps)s::uuid[], %(accounts)s::uuid[], %(lanes)s::text[],
                     %(payloads)s::jsonb[], %(sizes)s::int[])"""


def open_chunks(session: Session, chunks: Sequence[Chunk]) -> None:
    """Note released chunks, in the transaction of their release."""
    session.execute(
        _OPEN,
        {
            "ids": [chunk.id for chunk in chunks],
            "apps": [chunk.app_id for chunk in chunks],
            "accounts": [chunk.account_id for chunk in chunks],
            "lanes": [chunk.lane for chunk in chunks],
            "payloads": [orjson.dumps(chunk.payload).decode() for chunk in chunks],
            "sizes": [chunk.size for chunk in chunks],
        },
    )


def in_flight(session: Session) -> tuple[int, dict[UUID, int]]:
    """Return how many released e-mails are unfinished: in all, and by account."""
    rows = session.execute(
        "SELECT account_id, sum(remaining) FROM released_chunks WHERE remaining > 0 GROUP BY 1"
    ).fetchall()
    by_account = {row[0]: int(row[1]) for row in rows}
    return sum(by_account.values()), by_account


def settle(session: Session, chunk_id: UUID, finished: int) -> None:
    """Note that `finished` e-mails of a chunk left the stages without an attempt."""
    session.execute(
        "UPDATE released_chunks SET remaining = remaining - %s, touched_at = now() WHERE id = %s",
        (finished, chunk_id),
    )


_STALE = """
SELECT id, app_id, account_id, lane, payload, remaining FROM released_chunks
WHERE touched_at < now() - %(age)s * power(2, least(republished, 4))
ORDER BY touched_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""

_ROWS = """
SELECT id, status, fence, lease_until < now() FROM emails
WHERE id = ANY(%(ids)s) AND id BETWEEN %(low)s AND %(high)s AND status IN ('queued', 'sending')"""


def stranded(session: Session, *, age: dt.timedelta, limit: int) -> list[Stranded]:
    """Lock chunks without progress for `age` (doubling each time) and say what they still hold.

    Call inside a transaction; two sweepers at once take different chunks (SKIP LOCKED).
    """
    found = []
    for row in session.execute(_STALE, {"age": age, "limit": limit}).fetchall():
        chunk = Chunk(
            id=row[0], app_id=row[1], account_id=row[2], lane=row[3], payload=row[4], size=row[5]
        )
        ids = [UUID(text) for text in chunk.payload["email_ids"]]
        rows = session.execute(_ROWS, {"ids": ids, "low": min(ids), "high": max(ids)}).fetchall()
        sending = [r for r in rows if r[1] == State.SENDING]
        found.append(
            Stranded(
                chunk=chunk,
                queued=tuple(r[0] for r in rows if r[1] == State.QUEUED),
                expired=tuple((r[0], r[2]) for r in sending if r[3]),
                held=sum(1 for r in sending if not r[3]),
            )
        )
    return found


def touch(session: Session, chunk_id: UUID, remaining: int) -> None:
    """Note that a stale chunk was published again with `remaining` e-mails to go."""
    session.execute(
        "UPDATE released_chunks SET remaining = %s, republished = republished + 1, "
        "touched_at = now() WHERE id = %s",
        (remaining, chunk_id),
    )


def close_chunks(session: Session, chunk_ids: Sequence[UUID]) -> None:
    """Forget chunks that hold nothing any more."""
    session.execute("DELETE FROM released_chunks WHERE id = ANY(%s)", (list(chunk_ids),))


def close_finished(session: Session) -> int:
    """Forget every chunk whose e-mails all left the stages; return how many."""
    return session.execute("DELETE FROM released_chunks WHERE remaining <= 0").rowcount
