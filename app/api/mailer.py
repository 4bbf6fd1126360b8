"""/api/v1: the dialect of seed 004's mailer, thin over the same rooms as /v1.

Answers are {"success": true, "data": ...}; errors are problem objects as everywhere. The sender is
the app's oldest active account, since this dialect names none.
"""

import datetime as dt
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.call import Call
from app.api.email_views import Status, status_of
from app.api.endpoint import Routes
from app.api.submitting import order_of, submitter, take
from app.lifecycle.states import State
from app.submission import lookup, tally, withdraw
from app.submission.lookup import Filter, Mail
from app.submission.schemas import Address, Email, Moment, Party, Variables
from app.tenancy import senders
from app.tenancy.scopes import Scope

routes = Routes("mailer", about="The dialect of the Taskforce Mailer.")

_BODY_BYTES = 36_000_000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class MailerFile(_Body):
    """A file; `content` is base64, of either alphabet, with or without padding."""

    filename: Annotated[str, Field(min_length=1, max_length=200)]
    content: Annotated[str, Field(max_length=_BODY_BYTES)]
    content_type: Annotated[str, Field(alias="contentType", max_length=200)] = (
        "application/octet-stream"
    )


class ScheduleMail(_Body):
    """An e-mail to schedule. `max_retries` is read and not used: the queue's delays hold."""

    recipients: Annotated[list[Address], Field(min_length=1, max_length=100)]
    subject: Annotated[str, Field(min_length=1, max_length=2_000)]
    body: Annotated[str, Field(max_length=524_288)] | None = None
    html_body: Annotated[str, Field(max_length=524_288)] | None = None
    scheduled_at: Moment | None = None
    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    attachments: Annotated[list[MailerFile], Field(max_length=50)] = []
    metadata: Variables = {}


class TestEmail(_Body):
    """Where a test e-mail goes."""

    to: Address


class Folder(StrEnum):
    """Seed 004's word for where mails are, or any status of /v1."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    PROCESSING = "processing"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ScheduledQuery(BaseModel):
    """Which mails; `pending`: scheduled for a time to come or waiting for their turn."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    status: Folder = Folder.PENDING
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0


class MailView(BaseModel):
    """A mail as this dialect shows it."""

    id: UUID
    status: Status
    recipient: str
    subject: str | None
    scheduled_at: dt.datetime | None
    sent_at: dt.datetime | None
    created_at: dt.datetime
    attempts: int
    error: str | None
    metadata: dict[str, Any]


class TakenView(BaseModel):
    """A mail that was taken."""

    id: UUID
    status: Status
    scheduled_at: dt.datetime


class StatsView(BaseModel):
    """How the app's mail stands."""

    waiting: int
    active: int
    completed: int
    failed: int


class Taken(BaseModel):
    """The answer to a new mail."""

    success: bool = True
    data: TakenView


class One(BaseModel):
    """The answer about one mail."""

    success: bool = True
    data: MailView


class Many(BaseModel):
    """The answer with several mails."""

    success: bool = True
    data: list[MailView]


class Stats(BaseModel):
    """The answer of the statistics."""

    success: bool = True
    data: StatsView


@routes.post(
    "/api/v1/schedule-mail",
    needs=Scope.EMAIL_SEND,
    status=HTTPStatus.ACCEPTED,
    body_bytes=_BODY_BYTES,
)
def schedule_mail(call: Call, body: ScheduleMail) -> Taken:
    """Schedule an e-mail; a time that has passed means now."""
    files = [
        {
            "filename": one.filename,
            "content": _padded(one.content),
            "content_type": one.content_type,
        }
        for one in body.attachments
    ]
    order = order_of(
        sender=Party(email=senders.first_address(call.session, call.app_id)),
        to=tuple(Party(email=one) for one in body.recipients),
        subject=body.subject,
        text=body.body,
        html=body.html_body,
        scheduled_at=body.scheduled_at,
        timezone="UTC",
        attachments=files,
        metadata=body.metadata,
    )
    return _taken(call, order)


@routes.post("/api/v1/test-email", needs=Scope.EMAIL_SEND, status=HTTPStatus.ACCEPTED)
def send_test_email(call: Call, body: TestEmail) -> Taken:
    """Send a test e-mail."""
    order = order_of(
        sender=Party(email=senders.first_address(call.session, call.app_id)),
        to=(Party(email=body.to),),
        subject="Test e-mail",
        text="This is a test. Your mail server takes mail from Mailqueue.",
    )
    return _taken(call, order)


@routes.get("/api/v1/status/{email_id}", needs=Scope.EMAIL_READ)
def get_mail_status(call: Call, email_id: UUID) -> One:
    """Show how a mail stands."""
    return One(data=_view(lookup.submission(call.session, call.app_id, email_id)[0]))


@routes.delete("/api/v1/cancel/{email_id}", needs=Scope.EMAIL_SEND)
def cancel_mail(call: Call, email_id: UUID) -> One:
    """Cancel a mail that still waits."""
    return One(data=_view(withdraw.cancel(call.session, submitter(call), email_id)[0]))


@routes.get("/api/v1/scheduled-emails", needs=Scope.EMAIL_READ)
def list_scheduled_mails(call: Call, query: ScheduledQuery) -> Many:
    """List mails, the newest first."""
    states = _STATES[query.status]
    most = query.offset + query.limit
    found: list[Mail] = []
    for state in states:
        listed = lookup.list_mails(call.session, call.app_id, Filter(status=state), None, most)
        found += listed.mails
    newest = sorted(found, key=lambda mail: mail.id, reverse=True)
    return Many(data=[_view(mail) for mail in newest[query.offset : most]])


@routes.get("/api/v1/queue-stats", needs=Scope.EMAIL_READ)
def get_mail_stats(call: Call) -> Stats:
    """Show how the app's mail stands, in four numbers."""
    found = tally.tally(call.session, call.app_id)
    data = StatsView(
        waiting=found.waiting, active=found.active, completed=found.completed, failed=found.failed
    )
    return Stats(data=data)


_STATES: dict[Folder, tuple[State, ...]] = {
    Folder.PENDING: (State.SCHEDULED, State.QUEUED),
    Folder.SCHEDULED: (State.SCHEDULED,),
    Folder.QUEUED: (State.QUEUED,),
    Folder.PROCESSING: (State.SENDING,),
    Folder.SENT: (State.SENT,),
    Folder.FAILED: (State.FAILED,),
    Folder.CANCELLED: (State.CANCELLED,),
}


def _padded(content: str) -> str:
    """Return base64 in its usual spelling; what is none stays none, and is refused later."""
    usual = content.translate(str.maketrans("-_", "+/")).rstrip("=")
    return usual + "=" * (-len(usual) % 4)


def _taken(call: Call, order: Email) -> Taken:
    done = take(call, order)
    data = TakenView(id=done.id, status=status_of(done.copies[0].state), scheduled_at=done.due_at)
    return Taken(data=data)


def _view(mail: Mail) -> MailView:
    return MailView(
        id=mail.id,
        status=status_of(mail.state),
        recipient=mail.to_email,
        subject=mail.subject,
        scheduled_at=mail.due_at,
        sent_at=mail.sent_at,
        created_at=mail.created_at,
        attempts=mail.attempt,
        error=mail.reason,
        metadata=mail.metadata or {},
    )
