"""What people submit: one e-mail, or shared content for many recipients (seed 003's payload).

Unknown fields are refused, and an error never repeats what it found. Addresses of a single e-mail
are checked here; those of a batch one by one (app/submission/batch), because one wrong line among
10,000 must not stop the others.
"""

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from typing import Annotated, Any, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from app.errors import InputInvalid
from app.mail.address import normalise
from app.mail.headers import check_custom_headers, holds_controls

MOST_RECIPIENTS = 100
MOST_OF_A_BATCH = 10_000
DEFAULT_QUEUE = "default"

_LONGEST_PART = 524_288  # characters of HTML or text: as many bytes as a template may have
_LONGEST_FILE = 36_000_000  # characters of base64; the app's own limit is asked later
_MOST_JSON_BYTES = 65_536


def _address(value: str) -> str:
    try:
        return normalise(value)
    except InputInvalid as error:
        raise ValueError(error.why.rstrip(".")) from error


def _bare(value: Any) -> Any:
    """Read "ana@example.com" as {"email": "ana@example.com"}."""
    return {"email": value} if isinstance(value, str) else value


def _one_line(value: str) -> str:
    if value and not value.isprintable():
        raise ValueError("it holds control characters")
    return uncontrolled(value)


def uncontrolled(value: str) -> str:
    """Return what may stand in a header; raises ValueError for control characters, also encoded."""
    if holds_controls(value):
        raise ValueError("it holds control characters")
    return value


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        size = len(orjson.dumps(value))
    except orjson.JSONEncodeError as error:
        raise ValueError("it nests too deep or holds a number beyond 64 bits") from error
    if size > _MOST_JSON_BYTES:
        raise ValueError(f"it has more than {_MOST_JSON_BYTES:,} bytes as JSON")
    return value


def _known_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("there is no such IANA time zone") from error
    return value


def _date_text(value: Any) -> Any:
    if not isinstance(value, (str, dt.datetime)):
        raise ValueError("a time is written by ISO 8601, such as 2026-01-15T10:00:00Z")  # noqa: TRY004 - pydantic's way to refuse
    return value


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    try:
        return check_custom_headers(headers)
    except InputInvalid as error:
        named = (error.field or "").removeprefix("headers.")
        raise ValueError(f"{named[:40]!r}: {error.why.rstrip('.')}") from error


Address = Annotated[str, Field(max_length=320), AfterValidator(_address)]
Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
Subject = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(uncontrolled)]
Variables = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=100)], JsonValue], AfterValidator(_storable)
]
Moment = Annotated[dt.datetime, BeforeValidator(_date_text)]


class Payload(BaseModel):
    """A part of a submission."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_by_name=True
    )


class Party(Payload):
    """An address with the name people read beside it."""

    email: Address
    name: Line | None = None


Mailbox = Annotated[Party, BeforeValidator(_bare)]


def _several(value: Any) -> Any:
    """Read one mailbox where a list of them may stand."""
    return value if isinstance(value, (list, tuple)) or value is None else [value]


Mailboxes = Annotated[
    tuple[Mailbox, ...], BeforeValidator(_several), Field(max_length=MOST_RECIPIENTS)
]


class File(Payload):
    """A file: `content` is base64; `content_id` is what `cid:` in the HTML names."""

    filename: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(uncontrolled)]
    content: Annotated[str, Field(max_length=_LONGEST_FILE, repr=False)]
    content_type: Annotated[str, Field(max_length=200)] = "application/octet-stream"
    content_id: Annotated[str, Field(min_length=1, max_length=130)] | None = None
    inline: bool = False


class Tracking(Payload):
    """What is tracked; left out, it is what is usual."""

    opens: bool | None = None
    clicks: bool | None = None


class Shared(Payload):
    """What one e-mail and a batch have in common: content, route, time, features."""

    queue: Annotated[str, Field(min_length=1, max_length=100)] = DEFAULT_QUEUE
    sender: Annotated[Mailbox, Field(alias="from")]
    reply_to: Mailboxes = ()
    subject: Subject | None = None
    html: Annotated[str, Field(max_length=_LONGEST_PART)] | None = None
    text: Annotated[str, Field(max_length=_LONGEST_PART)] | None = None
    template_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    template_version: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    personalizations: Variables = {}
    variables: Variables = {}
    headers: Annotated[dict[str, str], Field(max_length=50), AfterValidator(_sendable)] = {}
    attachments: Annotated[tuple[File, ...], Field(max_length=50)] = ()
    scheduled_at: Moment | None = None
    expires_at: Moment | None = None
    timezone: Annotated[str, Field(max_length=64), AfterValidator(_known_zone)] | None = None
    metadata: Variables = {}
    tags: Annotated[
        tuple[Annotated[Line, Field(min_length=1, max_length=100)], ...], Field(max_length=20)
    ] = ()
    tracking: Tracking = Tracking()
    priority: Annotated[int, Field(ge=1, le=10)] | None = None
    unsubscribe: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        has_body = self.html is not None or self.text is not None
        if self.template_id is not None and (has_body or self.subject is not None):
            raise ValueError("template_id takes the place of subject, html and text")
        if self.template_id is None and (self.subject is None or not has_body):
            raise ValueError("a subject and html or text are needed, or a template_id")
        if self.template_version is not None and self.template_id is None:
            raise ValueError("template_version needs a template_id")
        due, end = (
            moment(value, self.timezone, name)
            for name, value in (
                ("scheduled_at", self.scheduled_at),
                ("expires_at", self.expires_at),
            )
        )
        if due is not None and end is not None and end <= due:
            raise ValueError("expires_at is not after scheduled_at")
        return self

    def due_at(self, now: dt.datetime) -> dt.datetime:
        """Return when it is to be sent: a time that has passed is now. UTC."""
        due = moment(self.scheduled_at, self.timezone, "scheduled_at")
        return now if due is None else max(due, now)

    def ends_at(self) -> dt.datetime | None:
        """Return when it is no longer worth sending, UTC; None = never."""
        return moment(self.expires_at, self.timezone, "expires_at")

    def values(self) -> dict[str, JsonValue]:
        """Return the variables, by whichever of the two names they were given."""
        return {**self.variables, **self.personalizations}


class Email(Shared):
    """One e-mail. Each address in to, cc and bcc gets a copy; nobody sees who is in bcc."""

    to: Annotated[Mailboxes, Field(min_length=1)]
    cc: Mailboxes = ()
    bcc: Mailboxes = ()

    @model_validator(mode="after")
    def _has_each_recipient_once(self) -> Self:
        everybody = self.recipients()
        if len(everybody) > MOST_RECIPIENTS:
            raise ValueError(f"it has more than {MOST_RECIPIENTS} recipients; send a batch")
        if repeated := _first_repeated([party.email for _, party in everybody]):
            raise ValueError(f"recipient {repeated + 1} is named twice in to, cc and bcc")
        return self

    def recipients(self) -> list[tuple[str, Party]]:
        """Return every envelope recipient with where it stands: to, cc or bcc."""
        return [
            (kind, party)
            for kind, parties in (("to", self.to), ("cc", self.cc), ("bcc", self.bcc))
            for party in parties
        ]


class Addressee(Payload):
    """One recipient of a batch. The address is judged with its place in the list, not here."""

    email: Annotated[str, Field(max_length=320)]
    name: Annotated[str, Field(max_length=200)] | None = None


One = Annotated[str, Field(max_length=320)] | Addressee


class BatchMail(Payload):
    """What is of one recipient alone, in a batch. No Python runs while 10,000 of them are read."""

    to: Annotated[One | tuple[One], Field(union_mode="left_to_right")]
    # A default that is a dict would be copied for each of them: a third of the time.
    personalizations: Annotated[dict[str, JsonValue], Field(default_factory=dict)]
    variables: Annotated[dict[str, JsonValue], Field(default_factory=dict)]

    def recipient(self) -> tuple[str, str | None]:
        """Return the address and the name, as they were given."""
        if isinstance(self.to, str):
            return self.to, None
        one = self.to[0] if isinstance(self.to, tuple) else self.to
        return (one, None) if isinstance(one, str) else (one.email, one.name)

    def values(self) -> dict[str, JsonValue]:
        """Return the variables, by whichever of the two names they were given."""
        if not self.variables:
            return self.personalizations
        return {**self.variables, **self.personalizations}


class Batch(Shared):
    """Shared content for up to 10,000 recipients; each gets a mail of their own."""

    emails: Annotated[tuple[BatchMail, ...], Field(min_length=1, max_length=MOST_OF_A_BATCH)]


def moment(value: dt.datetime | None, zone: str | None, name: str) -> dt.datetime | None:
    """Return a time in UTC, read in `zone` when it has no offset; raises ValueError."""
    if value is None:
        return None
    if value.tzinfo is None:
        if zone is None:
            raise ValueError(f"{name} has no offset; write one, such as Z, or give a timezone")
        value = value.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    try:
        found = value.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(f"{name} is out of range") from error
    if not _EARLIEST <= found <= _LATEST:
        raise ValueError(f"{name} is out of range")
    return found


_EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LATEST = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)


def _first_repeated(addresses: Sequence[str]) -> int | None:
    seen: set[str] = set()
    for place, address in enumerate(addresses):
        if address.lower() in seen:
            return place
        seen.add(address.lower())
    return None
