"""The schemas of the pipeline's messages (seed 000, MAIL-1.2: app, campaign, lead, step, account).

A message carries ids and decided facts in chunks. `parse` refuses anything else with the reason,
and the message goes to the dead-letter queue: a malformed message never gets better by waiting.
"""

from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import MessageMalformed
from app.queueing.steps import Lane


class Payload(BaseModel):
    """A message body: immutable, no unknown fields; its errors never repeat a recipient's data."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TickPayload(Payload):
    """schedule: run one pass."""

    reason: str = Field(default="clock", max_length=40)


class ChunkPayload(Payload):
    """What all mails of one chunk share. `chunk_id` is their row in released_chunks.

    `message_id` names a submitted message: theirs, or one that looks the same but for recipients.
    """

    chunk_id: UUID
    lane: Lane
    app_id: UUID
    queue_id: UUID
    account_id: UUID
    template_version_id: UUID
    message_id: UUID | None = None
    campaign_id: UUID | None = None
    step_id: UUID | None = None


class AssemblePayload(ChunkPayload):
    """assemble.*: e-mail ids to turn into slots; `lead_ids` runs parallel where leads exist."""

    email_ids: list[UUID] = Field(min_length=1, max_length=1_000)
    lead_ids: list[UUID | None] = Field(default_factory=list, max_length=1_000)


class AssembledMail(Payload):
    """One mail, ready but for its bytes: encoded slots of the template version."""

    email_id: UUID
    to: str = Field(max_length=320)
    slots: list[str]

    @property
    def domain(self) -> str:
        """The recipient's domain."""
        return self.to.rpartition("@")[2]


class SendPayload(ChunkPayload):
    """send.*: assembled mails of one SMTP account."""

    mails: list[AssembledMail] = Field(min_length=1, max_length=1_000)


class Hit(Payload):
    """One request to a tracking route; `event_id` makes recording it twice harmless."""

    event_id: UUID
    email_id: UUID
    kind: str = Field(pattern="^(open|click|unsubscribe)$")
    at_ms: int = Field(ge=0)
    link: int | None = None
    url: str | None = Field(default=None, max_length=8_192)
    method: str = Field(default="GET", max_length=8)
    ip: str = Field(default="", max_length=45)
    user_agent: str = Field(default="", max_length=512)
    purpose: str = Field(default="", max_length=64)


class HitsPayload(Payload):
    """events: at most 500 hits of the tracking routes."""

    hits: list[Hit] = Field(min_length=1, max_length=500)


class EndpointPayload(Payload):
    """webhooks: an endpoint that has something due."""

    endpoint_id: UUID


class InboundPayload(Payload):
    """inbound: ids of stored mails that came back (inbound_messages)."""

    message_ids: list[UUID] = Field(min_length=1, max_length=500)


P = TypeVar("P", bound=Payload)


def parse(schema: type[P], body: object) -> P:
    """Return `body` as `schema`; raises MessageMalformed naming the first offending field."""
    try:
        return schema.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "(message)"
        raise MessageMalformed(
            f"{schema.__name__}: {where}: {first['msg']}.",
            why=f"{error.error_count()} field(s) break the schema.",
            fix="Correct the producer; discard this message or publish a corrected one.",
            field=where,
        ) from error
