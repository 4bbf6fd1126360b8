"""Dead letters of an app: what no retry by itself will help; a person decides."""

import datetime as dt
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.call import Call
from app.api.endpoint import Routes, Unit
from app.api.paging import Page, PageQuery, page
from app.errors import NotFound
from app.queueing import dead_letter_rows, redrive
from app.queueing.dead_letter_rows import Choice, Group
from app.queueing.dead_letters import DeadLetter
from app.sending import redrives
from app.tenancy.scopes import Scope

routes = Routes("dead letters", about="What failed for good or too often, and what to do about it.")

_MOST_AT_ONCE = 100

Fingerprint = Annotated[str, Field(min_length=1, max_length=100)]


class GroupView(BaseModel):
    """Open dead letters with the same error at the same place of the same queue."""

    fingerprint: str
    queue: str
    error_class: str
    error: str
    count: int
    first_at: dt.datetime
    last_at: dt.datetime


class GroupsView(BaseModel):
    """The groups, the most frequent first."""

    data: list[GroupView]


class LetterView(BaseModel):
    """One dead letter. `mails` are the e-mails it carries."""

    id: UUID
    fingerprint: str
    queue: str
    stage: str | None
    failed_at: dt.datetime
    attempts: int
    reason: str
    error_class: str
    error: str
    request_id: str | None
    mails: list[UUID]


class LetterQuery(PageQuery):
    """Which letters; the oldest first."""

    fingerprint: Fingerprint | None = None


class LetterChoice(BaseModel):
    """Which letters: by id or by fingerprint, at most 100 at once, the oldest first."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    ids: Annotated[list[UUID] | None, Field(min_length=1, max_length=_MOST_AT_ONCE)] = None
    fingerprint: Fingerprint | None = None

    @model_validator(mode="after")
    def _one(self) -> "LetterChoice":
        if (self.ids is None) == (self.fingerprint is None):
            raise ValueError("give either `ids` or `fingerprint`")
        return self


class Discard(LetterChoice):
    """Which letters nobody needs, and why."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class RetryView(BaseModel):
    """How many letters went out again, and what becomes of their mails."""

    retried: int
    sent: int
    unknown: int
    stopped: int
    waiting: int
    revived: int


class DiscardView(BaseModel):
    """How many letters are gone for good."""

    discarded: int


@routes.get("/v1/dead-letters/groups", needs=Scope.EMAIL_READ)
def list_dead_letter_groups(call: Call) -> GroupsView:
    """List open dead letters, grouped by what went wrong."""
    found = dead_letter_rows.groups(call.session, Choice(app_id=call.app_id))
    return GroupsView(data=[_group(each) for each in found])


@routes.get("/v1/dead-letters", needs=Scope.EMAIL_READ)
def list_dead_letters(call: Call, query: LetterQuery) -> Page[LetterView]:
    """List open dead letters, the oldest first."""
    rows = dead_letter_rows.open_letters(
        call.session,
        Choice(app_id=call.app_id, fingerprint=query.fingerprint),
        limit=query.limit + 1,
        after=query.after_id or UUID(int=0),
    )
    return page(rows, query, _view, lambda letter: letter.id)


@routes.get("/v1/dead-letters/{letter_id}", needs=Scope.EMAIL_READ)
def get_dead_letter(call: Call, letter_id: UUID) -> LetterView:
    """Show an open dead letter."""
    choice = Choice(app_id=call.app_id, ids=(letter_id,))
    found = dead_letter_rows.open_letters(call.session, choice, limit=1)
    if not found:
        raise _nothing()
    return _view(found[0])


@routes.post("/v1/dead-letters/retry", needs=Scope.QUEUE_MANAGE, unit=Unit.OWN)
def retry_dead_letters(call: Call, body: LetterChoice) -> RetryView:
    """Publish letters again; what was sent meanwhile is skipped."""
    letters = _chosen(call, body)
    outlook = redrives.outlook(call.session, letters)
    with redrive.opened(call.settings.rabbitmq_url) as channel:
        redrive.publish_again(channel, letters)
    redrives.retry(call.session, letters, call.author)
    return RetryView(
        retried=len(letters),
        sent=outlook.sent,
        unknown=outlook.unknown,
        stopped=outlook.stopped,
        waiting=outlook.waiting,
        revived=outlook.revived,
    )


@routes.post("/v1/dead-letters/discard", needs=Scope.QUEUE_MANAGE, unit=Unit.OWN)
def discard_dead_letters(call: Call, body: Discard) -> DiscardView:
    """Drop letters for good; their mails stay as they are."""
    letters = _chosen(call, body)
    redrives.discard(call.session, letters, call.author, body.reason)
    with redrive.opened(call.settings.rabbitmq_url) as channel:
        redrive.throw_away(channel, letters)
    return DiscardView(discarded=len(letters))


def _chosen(call: Call, body: LetterChoice) -> list[DeadLetter]:
    choice = Choice(
        app_id=call.app_id,
        ids=None if body.ids is None else tuple(body.ids),
        fingerprint=body.fingerprint,
    )
    with call.tenant() as session:
        letters = dead_letter_rows.open_letters(session, choice, limit=_MOST_AT_ONCE)
    if not letters:
        raise _nothing()
    return letters


def _nothing() -> NotFound:
    return NotFound(
        "No open dead letter matches.",
        why="It was retried or discarded, or belongs to another app.",
        fix="See what is open: GET /v1/dead-letters/groups.",
    )


def _group(found: Group) -> GroupView:
    return GroupView(**{name: getattr(found, name) for name in GroupView.model_fields})


def _view(letter: DeadLetter) -> LetterView:
    return LetterView(
        id=letter.id,
        fingerprint=letter.fingerprint,
        queue=letter.queue,
        stage=letter.actor,
        failed_at=letter.failed_at,
        attempts=letter.attempts,
        reason=letter.reason,
        error_class=letter.error_class,
        error=letter.error,
        request_id=letter.request_id,
        mails=redrives.mails_of(letter),
    )
