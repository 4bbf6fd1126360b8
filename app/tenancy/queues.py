"""Queues: how an app's mail is ranked, retried, and what happens to an unknown outcome."""

import dataclasses
import datetime as dt
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import dict_row

from app.audit import Author, entry_of, note_change, record
from app.db.session import Session, one
from app.errors import InputInvalid, NotFound
from app.ids import new_id
from app.lifecycle import transitions
from app.tenancy import checks

_entry = functools.partial(entry_of, "queue")

PRIORITIES = range(1, 11)
MICRO_BATCHES = range(1, 1_001)
RATES = range(1, 10_000_001)
DELAYS_S = range(1, 604_801)
DEFERRAL_AGES_S = range(60, 604_801)

_MOST_DELAYS = 20


class QueueStatus(StrEnum):
    """What a queue does: paused, its mail waits; draining, it sends what it has and takes no more."""

    ACTIVE = "active"
    PAUSED = "paused"
    DRAINING = "draining"


_VERBS = {
    QueueStatus.ACTIVE: "resumed",
    QueueStatus.PAUSED: "paused",
    QueueStatus.DRAINING: "drained",
}


class OnUnknown(StrEnum):
    """What becomes of a mail whose SMTP reply was never seen."""

    HOLD = "hold"
    RESEND = "resend"
    ASSUME_SENT = "assume_sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQueue:
    """A queue to create; `per_minute` None = no limit, `retry_delays_s[n]` after attempt n + 1.

    When the delays are used up a mail fails, unless `max_deferral_age_s` is set: then the last
    delay repeats until the mail is that old.
    """

    app_id: UUID
    name: str
    priority: int = 5
    per_minute: int | None = None
    retry_delays_s: tuple[int, ...] = (30, 120, 600, 3_600)
    max_deferral_age_s: int | None = None
    on_unknown: OnUnknown = OnUnknown.HOLD
    micro_batch: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(NewQueue):
    """A queue as it stands; `status` is active, paused or draining."""

    id: UUID
    status: str
    created_at: dt.datetime


_INSERT = """
INSERT INTO queues
    (id, app_id, name, priority, per_minute, retry_delays_s, max_deferral_age_s, on_unknown,
     micro_batch)
VALUES
    (%(id)s, %(app_id)s, %(name)s, %(priority)s, %(per_minute)s, %(retry_delays_s)s,
     %(max_deferral_age_s)s, %(on_unknown)s, %(micro_batch)s)"""
_COLUMNS = """id, app_id, name, priority, per_minute, retry_delays_s, max_deferral_age_s,
       on_unknown, micro_batch, status, created_at"""
# One queue, or all of the app when no id is given.
_QUEUES = f"""
SELECT {_COLUMNS} FROM queues
WHERE app_id = %(app_id)s AND (%(id)s::uuid IS NULL OR id = %(id)s) ORDER BY name"""  # noqa: S608 - constants of this module
_PAGE = f"""
SELECT {_COLUMNS} FROM queues
WHERE app_id = %(app_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - as above
_UPDATE = """
UPDATE queues SET name = %(name)s, priority = %(priority)s, per_minute = %(per_minute)s,
       retry_delays_s = %(retry_delays_s)s, max_deferral_age_s = %(max_deferral_age_s)s,
       on_unknown = %(on_unknown)s, micro_batch = %(micro_batch)s, status = %(status)s
WHERE app_id = %(app_id)s AND id = %(id)s"""
_DELETE = "DELETE FROM queues WHERE app_id = %(app_id)s AND id = %(id)s"
# Mails name their queue for ever: every one of them was counted.
_HAS_MAIL = """
SELECT FROM email_stats WHERE app_id = %(app_id)s AND queue_id = %(id)s
UNION ALL SELECT FROM email_stat_deltas WHERE app_id = %(app_id)s AND queue_id = %(id)s LIMIT 1"""


def create(session: Session, new: NewQueue, author: Author) -> Queue:
    """Create a queue; raises InputInvalid, Conflict."""
    checked = _checked(new)
    fields = dataclasses.asdict(checked)
    queue_id = new_id()
    binds = fields | {"id": queue_id, "retry_delays_s": list(checked.retry_delays_s)}
    with checks.unique("queue", checked.name), session.transaction():
        session.execute(_INSERT, binds)
        made = get(session, checked.app_id, queue_id)
        record(session, _entry(made, author, "created", after=fields))
    return made


def get(session: Session, app_id: UUID, queue_id: UUID) -> Queue:
    """Return a queue of an app; raises NotFound."""
    found = _queues(session, _QUEUES, {"app_id": app_id, "id": queue_id})
    if not found:
        raise NotFound(f"There is no queue {queue_id} in this app.", field="queue")
    return found[0]


def get_by_name(session: Session, app_id: UUID, name: str) -> Queue:
    """Return a queue of an app by its name; raises NotFound suggesting the nearest."""
    queues = {queue.name: queue for queue in list_all(session, app_id)}
    found = queues.get(name.strip())
    if found is None:
        raise checks.not_found("queue", name, queues)
    return found


def list_all(session: Session, app_id: UUID) -> list[Queue]:
    """Return the queues of an app, by name."""
    return _queues(session, _QUEUES, {"app_id": app_id, "id": None})


def list_page(
    session: Session, app_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[Queue]:
    """Return queues of an app, newest first, below the id `after`."""
    return _queues(session, _PAGE, {"app_id": app_id, "after": after, "limit": limit})


def update(session: Session, changed: Queue, author: Author) -> Queue:
    """Store every field of a queue, its status too; mail on its way keeps to it at once.

    Paused, mail stays scheduled and is tried again each minute; nothing is lost and no attempt
    used. Draining, what is in it is sent and submissions are refused. Raises InputInvalid,
    Conflict (name), NotFound.
    """
    checked = dataclasses.replace(changed, name=_checked(changed).name)
    fields = dataclasses.asdict(checked)
    with checks.unique("queue", checked.name), session.transaction():
        before = dataclasses.asdict(get(session, changed.app_id, changed.id))
        session.execute(_UPDATE, fields | {"retry_delays_s": list(checked.retry_delays_s)})
        is_moved = before["status"] != checked.status
        verb = _VERBS[QueueStatus(checked.status)] if is_moved else "updated"
        note_change(session, _entry(changed, author, verb), before, fields)
        transitions.ask_again(session, changed.app_id)
        return get(session, changed.app_id, changed.id)


def delete(session: Session, queue: Queue, author: Author) -> None:
    """Delete a queue that never carried mail; raises Conflict."""
    binds = {"app_id": queue.app_id, "id": queue.id}
    fix = "Pause or drain it instead: its mails' history names it."
    with checks.unused("queue", queue.name, fix), session.transaction():
        if one(session, _HAS_MAIL, binds) is not None:
            raise checks.in_use("queue", queue.name, "It carried mail.", fix)
        if session.execute(_DELETE, binds).rowcount:
            record(session, _entry(queue, author, "deleted", before={"name": queue.name}))


def _queues(session: Session, query: LiteralString, binds: Mapping[str, Any]) -> list[Queue]:
    rows = session.cursor(row_factory=dict_row).execute(query, binds).fetchall()
    return [_queue(row) for row in rows]


def _queue(row: dict[str, Any]) -> Queue:
    delays = tuple(row["retry_delays_s"])
    return Queue(**row | {"retry_delays_s": delays, "on_unknown": OnUnknown(row["on_unknown"])})


def _checked(new: NewQueue) -> NewQueue:
    if not 1 <= len(new.retry_delays_s) <= _MOST_DELAYS:
        raise InputInvalid(
            "The queue has no usable retry delays.",
            why=f"It must name 1 to {_MOST_DELAYS} of them, in seconds.",
            field="retry_delays_s",
        )
    for delay_s in new.retry_delays_s:
        checks.within(delay_s, DELAYS_S, "retry_delays_s")
    checks.within(new.priority, PRIORITIES, "priority")
    checks.within(new.micro_batch, MICRO_BATCHES, "micro_batch")
    checks.within_or_none(new.max_deferral_age_s, DEFERRAL_AGES_S, "max_deferral_age_s")
    checks.within_or_none(new.per_minute, RATES, "per_minute")
    return dataclasses.replace(new, name=checks.name(new.name))
