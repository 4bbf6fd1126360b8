"""Finding e-mails again: by id, in lists, with their timelines (seed 003's words).

One id names a whole submission: that of its message, which is also its first mail's. All mails of
a submission were stamped in one millisecond, so they lie side by side in the primary key.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row

from app.db.session import Session, one, plan_once
from app.errors import NotFound
from app.ids import lower_bound
from app.lifecycle.states import State

# Rows a filter may look at for one page by default, so that a rare state costs no scan of everything.
REACH = 20_000
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail, one envelope recipient. `due_at` None and `is_parked`: kept back by a pause."""

    id: UUID
    app_id: UUID
    message_id: UUID | None
    batch_id: UUID | None
    campaign_id: UUID | None
    queue_id: UUID
    queue: str | None
    account_id: UUID
    sender: str | None
    to_email: str
    to_name: str | None
    subject: str | None
    status: str
    reason: str | None
    priority: int
    attempt: int
    smtp_code: int | None
    due_at: dt.datetime | None
    is_parked: bool
    expires_at: dt.datetime | None
    created_at: dt.datetime
    queued_at: dt.datetime | None
    claimed_at: dt.datetime | None
    sent_at: dt.datetime | None
    metadata: dict[str, Any] | None
    tags: list[str] | None
    addressing: dict[str, Any] | None
    is_simulated: bool

    @property
    def state(self) -> State:
        """Return where the mail is."""
        return State(self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which mails of an app; None = any. `to_hash` finds submissions, not campaign mails.

    A page looks at `reach` rows at most.
    """

    status: State | None = None
    queue_id: UUID | None = None
    batch_id: UUID | None = None
    campaign_id: UUID | None = None
    tag: str | None = None
    to_hash: bytes | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    reach: int = REACH

    @property
    def is_narrowed(self) -> bool:
        """A row found by the index may still be left out."""
        return (self.status or self.queue_id or self.tag) is not None


_COLUMNS: LiteralString = """
SELECT e.id, e.app_id, e.message_id, e.batch_id, e.campaign_id, e.queue_id, q.name AS queue,
       e.account_id, a.address AS sender, e.to_email, e.to_name, v.subject, e.status, e.reason, e.priority,
       e.attempt, e.smtp_code, CASE WHEN e.due_at < 'infinity' THEN e.due_at END AS due_at,
       coalesce(e.due_at = 'infinity', false) AS is_parked, e.expires_at, e.created_at,
       e.queued_at, e.claimed_at, e.sent_at, m.metadata, m.tags, m.addressing,
       coalesce(m.is_simulated, false) AS is_simulated
"""
_JOINS: LiteralString = """
LEFT JOIN queues q ON q.id = e.queue_id
LEFT JOIN email_accounts a ON a.id = e.account_id
LEFT JOIN template_versions v ON v.id = e.template_version_id
LEFT JOIN messages m ON m.id = e.message_id
"""
_BY_ID: LiteralString = f"""{_COLUMNS}
FROM emails e {_JOINS}
WHERE e.id BETWEEN %(low)s AND %(high)s AND e.app_id = %(app)s
  AND (e.id = %(id)s OR e.message_id = %(id)s)
ORDER BY e.id = %(id)s DESC, e.id LIMIT 1000"""


def submission(session: Session, app_id: UUID, email_id: UUID) -> list[Mail]:
    """Return the mails an id names, the one of this very id first; raises NotFound.

    Reads the primary key within one millisecond.
    """
    stamp = email_id.int >> 80
    binds = {
        "app": app_id,
        "id": email_id,
        "low": UUID(int=stamp << 80),
        "high": UUID(int=(stamp << 80) + (1 << 80) - 1),
    }
    cursor = session.cursor(row_factory=class_row(Mail))
    with session.pipeline():
        plan_once(session)
        cursor.execute(_BY_ID, binds)
    if found := cursor.fetchall():
        return found
    raise NotFound(
        f"There is no e-mail {email_id}.",
        why="It never was, belongs to another app, or was deleted when its time was over.",
        fix="List what there is: GET /v1/emails.",
        field="email_id",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Mails of a list, the newest first; `next_after`: the list goes on behind that id."""

    mails: list[Mail]
    next_after: UUID | None


# What narrows is a filter on rows in index order; LIMIT ends the scan as soon as it can.
_NARROW: LiteralString = """
  AND (%(status)s::text IS NULL OR e.status = %(status)s)
  AND (%(queue)s::uuid IS NULL OR e.queue_id = %(queue)s)
  AND (%(tag)s::text IS NULL OR EXISTS (
    SELECT FROM messages t WHERE t.id = e.message_id AND t.tags @> ARRAY[%(tag)s::text]))
"""
_WHERE: dict[str, LiteralString] = {
    "app": "e.app_id = %(app)s",
    "batch": "e.app_id = %(app)s AND e.batch_id = %(batch)s",
    "campaign": "e.app_id = %(app)s AND e.campaign_id = %(campaign)s",
    "recipient": "e.app_id = %(app)s AND e.to_hash = %(to)s AND e.message_id IS NOT NULL",
}
_BETWEEN: LiteralString = "AND e.id >= %(low)s AND e.id < %(high)s"


def _pages() -> dict[str, LiteralString]:
    return {
        name: f"WITH page AS MATERIALIZED (SELECT e.* FROM emails e WHERE {where} {_BETWEEN} {_NARROW}"  # noqa: S608 - constants
        f" ORDER BY e.id DESC LIMIT %(limit)s) {_COLUMNS} FROM page e {_JOINS} ORDER BY e.id DESC"
        for name, where in _WHERE.items()
    }


def _floors() -> dict[str, LiteralString]:
    return {
        name: f"SELECT e.id FROM emails e WHERE {where} {_BETWEEN}"  # noqa: S608 - constants
        f" ORDER BY e.id DESC OFFSET %(reach)s LIMIT 1"
        for name, where in _WHERE.items()
    }


_PAGES, _FLOORS = _pages(), _floors()


def list_mails(
    session: Session, app_id: UUID, wanted: Filter, after: UUID | None, limit: int
) -> Listing:
    """Return at most `limit` mails behind the id `after`, the newest first.

    One index serves each list: emails_app, emails_batch, emails_campaign or emails_recipient. With
    a filter on top of it a page looks at `reach` rows, may be short and yet go on.
    """
    index = _index_for(wanted)
    binds = {
        "app": app_id,
        "status": wanted.status,
        "queue": wanted.queue_id,
        "batch": wanted.batch_id,
        "campaign": wanted.campaign_id,
        "tag": wanted.tag,
        "to": wanted.to_hash,
        "low": lower_bound(wanted.since) if wanted.since else _FIRST,
        "high": after or (lower_bound(wanted.until) if wanted.until else _LAST),
        "limit": limit + 1,
        "reach": wanted.reach,
    }
    floor = None
    if wanted.is_narrowed:
        floor = one(session, _FLOORS[index], binds)
        binds["low"] = floor[0] if floor else binds["low"]
    cursor = session.cursor(row_factory=class_row(Mail))
    found = cursor.execute(_PAGES[index], binds).fetchall()
    if len(found) > limit:
        return Listing(mails=found[:limit], next_after=found[limit - 1].id)
    return Listing(mails=found, next_after=floor[0] if floor else None)


def _index_for(wanted: Filter) -> str:
    if wanted.batch_id is not None:
        return "batch"
    if wanted.campaign_id is not None:
        return "campaign"
    return "recipient" if wanted.to_hash is not None else "app"


# With those that retention took away.
_COUNTS = """
SELECT kind, sum(n)::bigint FROM (
  SELECT status AS kind, count(*) AS n FROM emails
  WHERE app_id = %(app)s AND batch_id = %(batch)s GROUP BY 1
  UNION ALL
  SELECT kind, n FROM retired_emails
  WHERE app_id = %(app)s AND batch_id = %(batch)s AND kind <> 'planned') counted
GROUP BY 1"""


def batch_counts(session: Session, app_id: UUID, batch_id: UUID) -> dict[State, int]:
    """Return how many mails of a batch are in which state (emails_batch)."""
    rows = session.execute(_COUNTS, {"app": app_id, "batch": batch_id}).fetchall()
    return {State(row[0]): row[1] for row in rows}
