"""E-mails that retention takes away, and the books that go on without them.

Only mails with an end go; who waits is never touched. What goes is counted in `retired_emails` in
the same transaction, so the ledger balances before, while and after.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql
from psycopg.rows import TupleRow

from app.db.expiry import Expiry
from app.db.partitions import Month
from app.db.session import Session
from app.lifecycle.states import WAITING

PLANNED = "planned"
_WAITING = "('scheduled', 'queued', 'sending')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Where a mail is counted; `kind` is its state, or PLANNED."""

    app_id: UUID
    campaign_id: UUID | None
    batch_id: UUID | None
    kind: str


Counts = Mapping[Book, int]

# One walk through a month: nothing but its end tells how many mails of which state it holds.
_COUNT = """
SELECT app_id, campaign_id, batch_id, status, count(*) FROM emails
WHERE id >= %(low)s AND id < %(high)s GROUP BY 1, 2, 3, 4"""
_COUNT_DETACHED = sql.SQL(
    "SELECT app_id, campaign_id, batch_id, status, count(*) FROM {} GROUP BY 1, 2, 3, 4"
)

_ADD = """
INSERT INTO retired_emails AS r (app_id, campaign_id, batch_id, kind, n, partition)
SELECT *, %(partition)s FROM unnest(%(apps)s::uuid[], %(campaigns)s::uuid[], %(batches)s::uuid[],
                                    %(kinds)s::text[], %(ns)s::bigint[])
ON CONFLICT ON CONSTRAINT retired_emails_key DO UPDATE SET n = r.n + excluded.n"""
_TAKE_BACK = "DELETE FROM retired_emails WHERE partition = %s RETURNING app_id"


def count(session: Session, month: Month) -> Counts:
    """Return what a month of `emails` holds, by book; reads all of it."""
    binds = {"low": month.first_id, "high": month.next_id}
    return _counts(session.execute(_COUNT, binds).fetchall())


def count_detached(session: Session, month: Month) -> Counts:
    """Return what a month holds that was taken out of `emails`; nothing changes there any more."""
    query = _COUNT_DETACHED.format(sql.Identifier(month.name))
    return _counts(session.execute(query).fetchall())


def _counts(rows: Sequence[TupleRow]) -> Counts:
    return {
        Book(app_id=row[0], campaign_id=row[1], batch_id=row[2], kind=row[3]): int(row[4])
        for row in rows
    }


def waiting(counts: Counts) -> int:
    """Return how many of the mails counted have no end yet."""
    return sum(n for book, n in counts.items() if book.kind in WAITING)


def add(session: Session, counts: Counts, partition: str = "") -> None:
    """Count mails that go; `partition` names the month they belong to until that is settled."""
    if not counts:
        return
    books = list(counts)
    binds = {
        "apps": [book.app_id for book in books],
        "campaigns": [book.campaign_id for book in books],
        "batches": [book.batch_id for book in books],
        "kinds": [book.kind for book in books],
        "ns": list(counts.values()),
        "partition": partition,
    }
    session.execute(_ADD, binds)


def take_back(session: Session, partition: str) -> bool:
    """Forget what was counted for a month under way; tell whether there was anything."""
    return bool(session.execute(_TAKE_BACK, (partition,)).fetchall())


_LEAVE_BATCHES = """
WITH gone AS (
  DELETE FROM retired_emails WHERE batch_id = ANY(%s)
  RETURNING app_id, campaign_id, kind, partition, n)
INSERT INTO retired_emails AS r (app_id, campaign_id, kind, partition, n)
SELECT app_id, campaign_id, kind, partition, sum(n) FROM gone GROUP BY 1, 2, 3, 4
ON CONFLICT ON CONSTRAINT retired_emails_key DO UPDATE SET n = r.n + excluded.n"""


def leave_batches(session: Session, batch_ids: Sequence[UUID]) -> None:
    """Count the mails of these batches for their app alone: the batches are deleted."""
    session.execute(_LEAVE_BATCHES, (list(batch_ids),))


def _by_book(rows: Sequence[TupleRow]) -> Counts:
    return Counter(
        Book(app_id=row[1], campaign_id=row[2], batch_id=row[3], kind=row[4]) for row in rows
    )


_TIMELINES = """
DELETE FROM email_events WHERE email_id = ANY(%(ids)s) AND email_id BETWEEN %(low)s AND %(high)s"""


def _close(session: Session, gone: Sequence[TupleRow]) -> None:
    """Let timelines go with their mails, and count the mails."""
    ids = [row[0] for row in gone]
    if ids:
        session.execute(_TIMELINES, {"ids": ids, "low": min(ids), "high": max(ids)})
        add(session, _by_book(gone))


# Index emails_app. A mail that somebody holds, or that a person lets go again, stays.
MAILS = Expiry(
    table="emails",
    key="id",
    where=f"t.id < %(before)s AND t.status NOT IN {_WAITING}",
    delete=f"""
DELETE FROM emails WHERE id = ANY(%(keys)s) AND id BETWEEN %(low)s AND %(high)s
  AND status NOT IN {_WAITING}
RETURNING id, app_id, campaign_id, batch_id, status""",  # noqa: S608 - constants
    then=_close,
)
_LOCK_FINISHED = f"""
SELECT id FROM emails WHERE id >= %(low)s AND id < %(high)s AND status NOT IN {_WAITING}
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""  # noqa: S608 - constants


def lock_finished(session: Session, month: Month, limit: int) -> list[UUID]:
    """Lock at most `limit` mails of a month that have their end; what somebody holds is passed over."""
    binds = {"low": month.first_id, "high": month.next_id, "limit": limit}
    return [row[0] for row in session.execute(_LOCK_FINISHED, binds).fetchall()]


def delete(session: Session, ids: Sequence[UUID]) -> int:
    """Delete finished mails with their timelines and count them; call inside a transaction."""
    span = {"keys": list(ids), "low": min(ids), "high": max(ids)}
    gone = session.execute(MAILS.delete, span).fetchall()
    _close(session, gone)
    return len(gone)


# Copies of what was sent, and raw inbound mail. What is not worked off yet is no copy.
COPIES = Expiry(
    table="inbox_message_content",
    key="ref_id",
    where="""t.ref_id < %(before)s AND t.created_at < %(until)s
  AND NOT EXISTS (SELECT FROM inbound_messages m WHERE m.id = t.ref_id AND m.status = 'received')""",
    delete="DELETE FROM inbox_message_content WHERE ref_id = ANY(%(keys)s) RETURNING ref_id",
)
