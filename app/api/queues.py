"""`/v1/queues`: how an app's mail is ranked, limited and retried; pause, resume, drain."""

import dataclasses
import datetime as dt
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import Given, View
from app.api.paging import Page, PageQuery, page
from app.tenancy import queue_stats, queues
from app.tenancy.queues import NewQueue, OnUnknown, QueueStatus
from app.tenancy.scopes import Scope

routes = Routes("queues", about="How an app's mail is ranked, limited and retried.")

Name = Annotated[str, Field(min_length=1, max_length=100)]
Priority = Annotated[int, Field(ge=1, le=10, description="10 goes first.")]
PerMinute = Annotated[int, Field(ge=1, le=10_000_000, description="E-mails a minute.")] | None
Delays = Annotated[
    tuple[Annotated[int, Field(ge=1, le=604_800)], ...],
    Field(min_length=1, max_length=20, description="Seconds after each attempt."),
]
MaxAge = Annotated[int, Field(ge=60, le=604_800)] | None
MicroBatch = Annotated[int, Field(ge=1, le=1_000)]


class QueueBody(Given):
    """A queue to create; each field has what is usual."""

    name: Name
    priority: Priority = 5
    per_minute: PerMinute = None
    retry_delays_s: Delays = (30, 120, 600, 3_600)
    max_deferral_age_s: MaxAge = None
    on_unknown: OnUnknown = OnUnknown.HOLD
    micro_batch: MicroBatch = 100


class QueueChange(Given):
    """What is to change; what is left out stays, null takes a limit away."""

    name: Name = ""
    priority: Priority = 5
    per_minute: PerMinute = None
    retry_delays_s: Delays = ()
    max_deferral_age_s: MaxAge = None
    on_unknown: OnUnknown = OnUnknown.HOLD
    micro_batch: MicroBatch = 100


class QueueView(View):
    """A queue as it stands."""

    id: UUID
    name: str
    status: QueueStatus
    priority: int
    per_minute: int | None
    retry_delays_s: list[int]
    max_deferral_age_s: int | None
    on_unknown: OnUnknown
    micro_batch: int
    created_at: dt.datetime


class QueueStatsView(View):
    """What a queue holds. `counts`: mails of all times by what became of them."""

    counts: dict[str, int]
    waiting: int
    scheduled_now: int
    scheduled_later: int
    in_flight: int
    oldest_due_at: dt.datetime | None
    sent_last_minute: int
    sent_last_hour: int


@routes.post("/v1/queues", needs=Scope.QUEUE_MANAGE, status=HTTPStatus.CREATED)
def create_queue(call: Call, body: QueueBody) -> QueueView:
    """Create a queue."""
    new = NewQueue(app_id=call.app_id, **body.model_dump())
    return QueueView.model_validate(queues.create(call.session, new, call.author))


@routes.get("/v1/queues", needs=Scope.QUEUE_MANAGE)
def list_queues(call: Call, query: PageQuery) -> Page[QueueView]:
    """List the queues."""
    rows = queues.list_page(call.session, call.app_id, after=query.after_id, limit=query.limit + 1)
    return page(rows, query, QueueView.model_validate, lambda queue: queue.id)


@routes.get("/v1/queues/{queue_id}", needs=Scope.QUEUE_MANAGE)
def get_queue(call: Call, queue_id: UUID) -> QueueView:
    """Show a queue."""
    return QueueView.model_validate(queues.get(call.session, call.app_id, queue_id))


@routes.patch("/v1/queues/{queue_id}", needs=Scope.QUEUE_MANAGE)
def change_queue(call: Call, queue_id: UUID, body: QueueChange) -> QueueView:
    """Change a queue; mail on its way keeps to it at once."""
    found = queues.get(call.session, call.app_id, queue_id)
    changed = dataclasses.replace(found, **body.said())
    return QueueView.model_validate(queues.update(call.session, changed, call.author))


@routes.delete("/v1/queues/{queue_id}", needs=Scope.QUEUE_MANAGE)
def delete_queue(call: Call, queue_id: UUID) -> None:
    """Delete a queue that never carried mail."""
    found = queues.get(call.session, call.app_id, queue_id)
    queues.delete(call.session, found, call.author)


@routes.get("/v1/queues/{queue_id}/stats", needs=Scope.QUEUE_MANAGE)
def get_queue_stats(call: Call, queue_id: UUID) -> QueueStatsView:
    """Show what a queue holds and how fast it moves."""
    found = queues.get(call.session, call.app_id, queue_id)
    return QueueStatsView.model_validate(queue_stats.stats(call.session, call.app_id, found.id))


@routes.post("/v1/queues/{queue_id}/pause", needs=Scope.QUEUE_MANAGE)
def pause_queue(call: Call, queue_id: UUID) -> QueueView:
    """Let a queue's mail wait; nothing is lost and no attempt is used."""
    return _moved(call, queue_id, QueueStatus.PAUSED)


@routes.post("/v1/queues/{queue_id}/resume", needs=Scope.QUEUE_MANAGE)
def resume_queue(call: Call, queue_id: UUID) -> QueueView:
    """Let a queue's mail go on, and take new mail again."""
    return _moved(call, queue_id, QueueStatus.ACTIVE)


@routes.post("/v1/queues/{queue_id}/drain", needs=Scope.QUEUE_MANAGE)
def drain_queue(call: Call, queue_id: UUID) -> QueueView:
    """Send what a queue has, and refuse new mail."""
    return _moved(call, queue_id, QueueStatus.DRAINING)


def _moved(call: Call, queue_id: UUID, status: QueueStatus) -> QueueView:
    found = queues.get(call.session, call.app_id, queue_id)
    changed = dataclasses.replace(found, status=status)
    return QueueView.model_validate(queues.update(call.session, changed, call.author))
