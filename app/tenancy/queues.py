"""Queues: how an app's mail is ranked, retried, and what happens to an unknown outcome."""

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.audit import AuditEntry, Author, record
from app.db.session import Session
from app.errors import InputInvalid
from app.ids import new_id
from app.tenancy import checks

PRIORITIES = range(1, 11)
MICRO_BATCHES = range(1, 1_001)
RATES = range(1, 10_000_001)
DELAYS_S = range(1, 604_801)
DEFERRAL_AGES_S = range(60, 604_801)

_MOST_DELAYS = 20


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


_INSERT = """
INSERT INTO queues
    (id, app_id, name, priority, per_minute, retry_delays_s, max_deferral_age_s, on_unknown,
     micro_batch)
VALUES
    (%(id)s, %(app_id)s, %(name)s, %(priority)s, %(per_minute)s, %(retry_delays_s)s,
     %(max_deferral_age_s)s, %(on_unknown)s, %(micro_batch)s)"""
_QUEUES = """
SELECT id, app_id, name, priority, per_minute, retry_delays_s, max_deferral_age_s, on_unknown,
       micro_batch, status
FROM queues WHERE app_id = %s ORDER BY name"""


def create(session: Session, new: NewQueue, author: Author) -> Queue:
    """Create a queue; raises InputInvalid, Conflict."""
    checked = _checked(new)
    fields = dataclasses.asdict(checked)
    made = Queue(**fields, id=new_id(), status="active")
    binds = fields | {"id": made.id, "retry_delays_s": list(made.retry_delays_s)}
    with checks.unique("queue", checked.name), session.transaction():
        session.execute(_INSERT, binds)
        record(
            session,
            AuditEntry(
                app_id=made.app_id,
                author=author,
                action="queue.created",
                target_kind="queue",
                target_id=made.id,
                after=fields,
            ),
        )
    return made


def get_by_name(session: Session, app_id: UUID, name: str) -> Queue:
    """Return a queue of an app by its name; raises NotFound suggesting the nearest."""
    queues = {queue.name: queue for queue in list_all(session, app_id)}
    found = queues.get(name.strip())
    if found is None:
        raise checks.not_found("queue", name, queues)
    return found


def list_all(session: Session, app_id: UUID) -> list[Queue]:
    """Return the queues of an app, by name."""
    rows = session.cursor(row_factory=dict_row).execute(_QUEUES, (app_id,)).fetchall()
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
