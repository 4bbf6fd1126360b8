"""How e-mails and batches are shown: the words of the API for what the rooms return."""

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.lifecycle.explain import Explanation
from app.lifecycle.states import State
from app.submission.accept import Accepted
from app.submission.batch import AcceptedBatch
from app.submission.lookup import Mail
from app.submission.timeline import Line

# Of many copies the one that still moves says how the whole stands.
_TELLING = (
    State.SENDING,
    State.QUEUED,
    State.SCHEDULED,
    State.UNKNOWN,
    State.FAILED,
    State.COMPLAINED,
    State.BOUNCED,
    State.SENT,
    State.DELIVERED,
    State.EXPIRED,
    State.CANCELLED,
    State.SUPPRESSED,
)


class Status(StrEnum):
    """Where an e-mail is. `sent`: the server took it; `delivered`, `bounced` need evidence."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    PROCESSING = "processing"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"

    @property
    def state(self) -> State:
        """Return the state of the lifecycle that is shown by this word."""
        return State.SENDING if self is Status.PROCESSING else State(self.value)


def status_of(state: State) -> Status:
    """Return the word for a state: seed 003 says processing where a worker holds the mail."""
    return Status.PROCESSING if state is State.SENDING else Status(state.value)


class RecipientView(BaseModel):
    """One envelope recipient of an e-mail, with an id of its own."""

    id: UUID
    email: str
    name: str | None
    kind: str = Field(description="to, cc or bcc")
    status: Status
    reason: str | None


class AcceptedView(BaseModel):
    """An e-mail that was taken: it is committed."""

    id: UUID
    status: Status
    queue: str
    scheduled_at: dt.datetime
    recipients: list[RecipientView]


class EmailView(BaseModel):
    """An e-mail as it stands; of several copies `status` is that of the one still under way."""

    model_config = ConfigDict(serialize_by_alias=True)

    id: UUID
    status: Status
    reason: str | None
    queue: str | None
    sender: str | None = Field(serialization_alias="from")
    subject: str | None
    recipients: list[RecipientView]
    priority: int
    attempts: int
    smtp_code: int | None
    scheduled_at: dt.datetime | None
    expires_at: dt.datetime | None
    created_at: dt.datetime
    sent_at: dt.datetime | None
    tags: list[str]
    metadata: dict[str, Any]
    is_simulated: bool
    batch_id: UUID | None
    campaign_id: UUID | None


class EventView(BaseModel):
    """One thing that happened; `at` is null where the moment was not kept."""

    email_id: UUID
    event: str
    at: dt.datetime | None
    data: dict[str, Any]


class EventsView(BaseModel):
    """The timeline of an e-mail, oldest first."""

    data: list[EventView]


class RejectedView(BaseModel):
    """A recipient of a batch that cannot be written to, and where it stands in the request."""

    pointer: str
    email: str
    reason: str


class AcceptedBatchView(BaseModel):
    """A batch that was taken; its mails are made within seconds."""

    id: UUID
    status: str
    accepted: int
    rejected: list[RejectedView]
    scheduled_at: dt.datetime


class BatchView(BaseModel):
    """How a batch stands: `expanded` of `accepted` mails are made, `counts` by their status."""

    id: UUID
    status: str
    accepted: int
    expanded: int
    rejected: int
    counts: dict[str, int]
    created_at: dt.datetime


class GateView(BaseModel):
    """One thing a mail has to pass; `verdict` is pass, wait, stop or unused."""

    name: str
    verdict: str
    value: str
    set_by: str | None
    next_at: dt.datetime | None


class ExplanationView(BaseModel):
    """Why a mail is where it is, gate by gate."""

    id: UUID
    status: Status
    sentence: str
    next_at: dt.datetime | None
    gates: list[GateView]


def accepted_view(done: Accepted) -> AcceptedView:
    """Show an e-mail that was just taken."""
    return AcceptedView(
        id=done.id,
        status=_whole([copy.state for copy in done.copies]),
        queue=done.queue,
        scheduled_at=done.due_at,
        recipients=[
            RecipientView(
                id=copy.id,
                email=copy.email,
                name=copy.name,
                kind=copy.kind,
                status=status_of(copy.state),
                reason=copy.reason,
            )
            for copy in done.copies
        ],
    )


def batch_accepted_view(done: AcceptedBatch) -> AcceptedBatchView:
    """Show a batch that was just taken."""
    return AcceptedBatchView(
        id=done.id,
        status="accepted",
        accepted=done.accepted,
        rejected=[RejectedView(**one) for one in done.rejected],
        scheduled_at=done.due_at,
    )


def email_view(mails: Sequence[Mail]) -> EmailView:
    """Show what an id names: the first of `mails` speaks for what they share."""
    first = mails[0]
    telling = min(mails, key=lambda mail: _TELLING.index(mail.state))
    return EmailView(
        id=first.id,
        status=status_of(telling.state),
        reason=telling.reason,
        queue=first.queue,
        sender=first.sender,
        subject=first.subject,
        recipients=[_recipient(mail) for mail in mails],
        priority=first.priority,
        attempts=max(mail.attempt for mail in mails),
        smtp_code=telling.smtp_code,
        scheduled_at=telling.due_at,
        expires_at=first.expires_at,
        created_at=first.created_at,
        sent_at=max((mail.sent_at for mail in mails if mail.sent_at), default=None),
        tags=first.tags or [],
        metadata=first.metadata or {},
        is_simulated=first.is_simulated,
        batch_id=first.batch_id,
        campaign_id=first.campaign_id,
    )


def event_view(line: Line) -> EventView:
    """Show one line of a timeline."""
    return EventView(email_id=line.email_id, event=line.event, at=line.at, data=dict(line.data))


def explanation_view(found: Explanation) -> ExplanationView:
    """Show an explanation; no address in it."""
    gates = [
        GateView(
            name=gate.name,
            verdict=str(gate.verdict),
            value=gate.value,
            set_by=gate.set_by,
            next_at=gate.next_at,
        )
        for gate in found.gates
    ]
    return ExplanationView(
        id=found.email_id,
        status=status_of(found.state),
        sentence=found.sentence,
        next_at=found.next_at,
        gates=gates,
    )


def _whole(states: Sequence[State]) -> Status:
    return status_of(min(states, key=_TELLING.index))


def _recipient(mail: Mail) -> RecipientView:
    return RecipientView(
        id=mail.id,
        email=mail.to_email,
        name=mail.to_name,
        kind=_kind(mail),
        status=status_of(mail.state),
        reason=mail.reason,
    )


def _kind(mail: Mail) -> str:
    addressing = mail.addressing or {}
    for kind in ("to", "cc"):
        if any(party["email"] == mail.to_email for party in addressing.get(kind, ())):
            return kind
    return "bcc" if addressing.get("to") else "to"
