"""The ledger of released chunks: what was handed to the stages and how much of it is unfinished.

It is what bounds the mails in flight, and what the sweeper reads instead of an index on status.
"""

import datetime as dt
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from app.db.session import Row, Session
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
class Review:
    """What the rows say of a chunk: `queued` ids, leases that ran out (id, fence), leases `held`.

    `is_stale` = no progress for long: its message may be lost. `republished` = how often before.
    """

    chunk: Chunk
    queued: tuple[UUID, ...]
    expired: tuple[tuple[UUID, int], ...]
    held: int
    is_stale: bool
    republished: int = 0

    @property
    def unfinished(self) -> int:
        """How many e-mails are still between release and outcome."""
        return len(self.queued) + len(self.expired) + self.held


_OPEN = """
INSERT INTO released_chunks (id, app_id, account_id, lane, payload, remaining)
SELECT id, app_id, account_id, lane, payload::jsonb, size
FROM unnest(%(ids)b::uuid[], %(apps)b::uuid[], %(accounts)b::uuid[], %(lanes)b::text[],
            %(payloads)b::text[], %(sizes)b::int[])
     AS r(id, app_id, account_id, lane, payload, size)"""


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


# Opens the payload of each chunk of the limited apps alone: their chunks are few by their limits.
_WITHIN = """
SELECT app_id, (payload->>'queue_id')::uuid, sum(remaining)::int FROM released_chunks
WHERE remaining > 0 AND (app_id = ANY(%(apps)s)
  OR app_id IN (SELECT app_id FROM queues WHERE id = ANY(%(queues)s)))
GROUP BY 1, 2"""


def in_flight_within(
    session: Session, app_ids: Collection[UUID], queue_ids: Collection[UUID]
) -> tuple[Counter[UUID], Counter[UUID]]:
    """Return how many released e-mails of these apps, and of these queues, are unfinished."""
    by_app: Counter[UUID] = Counter()
    by_queue: Counter[UUID] = Counter()
    if not app_ids and not queue_ids:
        return by_app, by_queue
    binds = {"apps": list(app_ids), "queues": list(queue_ids)}
    for app_id, queue_id, remaining in session.execute(_WITHIN, binds).fetchall():
        by_app[app_id] += remaining
        by_queue[queue_id] += remaining
    return by_app, by_queue


_RELEASED_WITH = """
SELECT e.id FROM emails e JOIN released_chunks c ON c.created_at = e.queued_at
WHERE c.id = %(chunk)s AND e.id = ANY(%(ids)b) AND e.id BETWEEN %(low)b AND %(high)b
  AND e.status = 'queued' ORDER BY e.id"""


def released_with(session: Session, chunk_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Return those of `ids` that wait since the release of this chunk (primary keys).

    A mail that went back to its schedule and was released again belongs to another chunk: the time
    of a release is that of its transaction, in the chunk and in its mails.
    """
    binds = {"chunk": chunk_id, "ids": list(ids), "low": min(ids), "high": max(ids)}
    return [row[0] for row in session.execute(_RELEASED_WITH, binds).fetchall()]


def settle(session: Session, chunk_id: UUID, finished: int) -> None:
    """Note that `finished` e-mails of a chunk left the stages without an attempt."""
    if not finished:
        return
    session.execute(
        "UPDATE released_chunks SET remaining = remaining - %s, touched_at = now() WHERE id = %s",
        (finished, chunk_id),
    )


_DOUBTFUL = """
SELECT id, app_id, account_id, lane, payload, remaining,
       touched_at < now() - %(age)s * power(2, least(republished, 4)) AS is_stale, republished
FROM released_chunks
WHERE remaining <= 0 OR touched_at < now() - %(age)s * power(2, least(republished, 4))
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""

_ROWS = """
SELECT id, status, fence, lease_until < now() FROM emails
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status IN ('queued', 'sending')"""


def review(session: Session, *, age: dt.timedelta, limit: int) -> list[Review]:
    """Lock chunks that seem finished, or stale for `age` (doubling), and ask their rows.

    The counter is only a hint (a redelivered message may count twice): a chunk is forgotten when
    its rows say so. Call inside a transaction; two sweepers take different chunks (SKIP LOCKED).
    """
    rows = session.execute(_DOUBTFUL, {"age": age, "limit": limit}).fetchall()
    if not rows:
        return []
    ids_of = {row[0]: [UUID(text) for text in row[4]["email_ids"]] for row in rows}
    everything = [email_id for ids in ids_of.values() for email_id in ids]
    binds = {"ids": everything, "low": min(everything), "high": max(everything)}
    waiting = {row[0]: row for row in session.execute(_ROWS, binds).fetchall()}
    return [_reviewed(row, [waiting[i] for i in ids_of[row[0]] if i in waiting]) for row in rows]


def _reviewed(row: Row, waiting: list[Row]) -> Review:
    chunk = Chunk(
        id=row[0], app_id=row[1], account_id=row[2], lane=row[3], payload=row[4], size=row[5]
    )
    sending = [r for r in waiting if r[1] == State.SENDING]
    return Review(
        chunk=chunk,
        queued=tuple(r[0] for r in waiting if r[1] == State.QUEUED),
        expired=tuple((r[0], r[2]) for r in sending if r[3]),
        held=sum(1 for r in sending if not r[3]),
        is_stale=row[6],
        republished=row[7],
    )


def correct(session: Session, chunk_id: UUID, remaining: int) -> None:
    """Set a chunk's counter to what its rows say."""
    session.execute(
        "UPDATE released_chunks SET remaining = %s WHERE id = %s", (remaining, chunk_id)
    )


def republished(session: Session, chunk_id: UUID, remaining: int) -> None:
    """Note that a stale chunk's message was published again, with `remaining` e-mails to go."""
    session.execute(
        "UPDATE released_chunks SET remaining = %s, republished = republished + 1, "
        "touched_at = now() WHERE id = %s",
        (remaining, chunk_id),
    )


def close_chunks(session: Session, chunk_ids: Sequence[UUID]) -> None:
    """Forget chunks whose e-mails all left the stages."""
    session.execute("DELETE FROM released_chunks WHERE id = ANY(%s)", (list(chunk_ids),))


def mark_stale(session: Session, chunk_ids: Sequence[UUID]) -> None:
    """Let the next sweep publish these again: RabbitMQ did not confirm them."""
    session.execute(
        "UPDATE released_chunks SET touched_at = '-infinity' WHERE id = ANY(%s)",
        (list(chunk_ids),),
    )
