"""Dead letters: messages that no retry will help, kept until a person decides.

Each stands twice: in RabbitMQ as a message of dlq.<queue> with readable headers (that copy is the
one that counts), and as a row of `dead_letters` for lists and search. This room writes the table.
"""

import datetime as dt
import hashlib
import re
import traceback as tracebacks
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from uuid import UUID

import dramatiq
import orjson

from app.db.session import Session
from app.errors import MailqueueError
from app.ids import new_id
from app.queueing import topology
from app.queueing.messages import Outgoing
from app.redaction import without_addresses

ERROR_CHARS = 500
TRACEBACK_CHARS = 6_000
_RAW_CHARS = 20_000
_OURS = ("app", "actors", "tracking")
_VARIABLE = re.compile(r"\S+@\S+|\b[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\b|'[^']*'|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One message nobody will retry by itself; `reason` says why not, `body` is its bytes."""

    id: UUID
    queue: str
    body: bytes
    reason: str
    error_class: str
    error: str
    failed_at: dt.datetime
    fingerprint: str
    attempts: int = 0
    actor: str | None = None
    traceback: str | None = None
    app_id: UUID | None = None
    request_id: str | None = None

    def outgoing(self) -> Outgoing:
        """Return the message for mail.dead, with headers a person can read in any console."""
        headers: dict[str, str | int | None] = {
            "x-dead-letter-id": str(self.id),
            "x-reason": self.reason,
            "x-error": self.error,
            "x-error-class": self.error_class,
            "x-attempts": self.attempts,
            "x-failed-at": self.failed_at.isoformat(),
            "x-queue": self.queue,
            "x-actor": self.actor,
            "x-app": None if self.app_id is None else str(self.app_id),
            "x-request-id": self.request_id,
            "x-fingerprint": self.fingerprint,
        }
        return Outgoing(
            exchange=topology.DEAD_EXCHANGE,
            queue=self.queue,
            body=self.body,
            headers={name: value for name, value in headers.items() if value is not None},
        )


def from_bytes(queue: str, body: bytes, error: MailqueueError, now: dt.datetime) -> DeadLetter:
    """Return the dead letter of bytes that no actor can take."""
    text = clipped(str(error))
    return DeadLetter(
        id=new_id(),
        queue=queue,
        body=body,
        reason="malformed: never reached an actor",
        error_class=type(error).__name__,
        error=text,
        failed_at=now,
        fingerprint=fingerprint(type(error).__name__, error.what, queue),
    )


def from_failure(
    message: dramatiq.MessageProxy, exception: BaseException, reason: str, now: dt.datetime
) -> DeadLetter:
    """Return the dead letter of a message whose actor raised `exception`.

    The traceback also goes into the message's options, so that it travels with the bytes.
    """
    trace = formatted(exception)
    message.options["traceback"] = trace
    name = type(exception).__name__
    return DeadLetter(
        id=new_id(),
        queue=message.queue_name,
        actor=message.actor_name,
        body=message.encode(),
        reason=reason,
        error_class=name,
        error=clipped(str(exception) or name),
        traceback=trace,
        fingerprint=fingerprint(name, str(exception), place_of(exception.__traceback__)),
        attempts=int(message.options.get("retries", 0)) + 1,
        failed_at=now,
        app_id=app_of(message.kwargs),
        request_id=request_of(message.options),
    )


def app_of(kwargs: dict[str, Any]) -> UUID | None:
    """Return the app a payload names, or None."""
    payload = kwargs.get("payload")
    value = payload.get("app_id") if isinstance(payload, dict) else None
    return as_uuid(value)


def request_of(options: dict[str, Any]) -> str | None:
    """Return the id of the request a message came from, or None."""
    value = options.get("request_id")
    return value[:100] if isinstance(value, str) else None


def as_uuid(value: object) -> UUID | None:
    """Return `value` as a UUID, or None when it is none."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def fingerprint(error_class: str, text: str, place: str) -> str:
    """Return what groups the same error: class, text without its variable parts, and place."""
    normal = _VARIABLE.sub("*", text)[:ERROR_CHARS]
    key = f"{error_class}|{normal}|{place}".encode("utf-8", "replace")
    return hashlib.sha256(key).hexdigest()[:16]


def place_of(trace: TracebackType | None) -> str:
    """Return `module:function` of the innermost frame of our own code, else of the innermost."""
    place = own = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", "?"))
        place = f"{module}:{trace.tb_frame.f_code.co_name}"
        if module.split(".", 1)[0] in _OURS:
            own = place
        trace = trace.tb_next
    return own or place


def formatted(exception: BaseException) -> str:
    """Return the traceback's end, which is the part that says what happened; without addresses."""
    trace = "".join(tracebacks.format_exception(exception))[-TRACEBACK_CHARS:]
    return printable(without_addresses(trace))


def clipped(text: str) -> str:
    """Return an error's text without addresses, short enough for a header (they share one frame)."""
    return printable(without_addresses(text[:ERROR_CHARS]))


def printable(text: str) -> str:
    """Return `text` as PostgreSQL and AMQP can hold it: no NUL, no lone surrogate."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


# A tenant that no longer exists must not cost the row: the foreign key is looked up.
_RECORD = """
INSERT INTO dead_letters (id, app_id, queue, actor, message, error_class, error, traceback,
                          fingerprint, attempts, request_id, failed_at, reason, published_at)
VALUES (%(id)s, (SELECT id FROM apps WHERE id = %(app_id)s), %(queue)s, %(actor)s,
        %(message)s::jsonb, %(error_class)s, %(error)s, %(traceback)s,
        %(fingerprint)s, %(attempts)s, %(request_id)s, %(failed_at)s, %(reason)s,
        %(published_at)s)
ON CONFLICT (id) DO NOTHING
"""


def record(session: Session, letter: DeadLetter) -> None:
    """Write the row of a dead letter that RabbitMQ holds; a second time changes nothing."""
    session.execute(_RECORD, _binds(letter) | {"published_at": letter.failed_at})


def enter(session: Session, letter: DeadLetter) -> None:
    """Write the row of a dead letter that is still to be published; a second time changes nothing.

    Call it in the transaction of the fact: the sweeper publishes what the row says.
    """
    session.execute(_RECORD, _binds(letter) | {"published_at": None})


def _binds(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "app_id": letter.app_id,
        "queue": letter.queue,
        "actor": letter.actor,
        "message": as_json(letter.body),
        "error_class": letter.error_class,
        "error": letter.error,
        "traceback": letter.traceback,
        "fingerprint": letter.fingerprint,
        "attempts": min(letter.attempts, 32_767),
        "request_id": letter.request_id,
        "failed_at": letter.failed_at,
        "reason": letter.reason,
    }


_RESOLVE = """
UPDATE dead_letters
   SET status = %(status)s, resolved_at = now(), resolved_by = %(by)s,
       reason = coalesce(%(reason)s, reason)
 WHERE id = ANY(%(ids)s) AND status = 'open'
RETURNING id
"""


def mark_retried(session: Session, ids: Sequence[UUID], by: str) -> list[UUID]:
    """Mark open dead letters as retried by `by`; returns those that were open."""
    binds = {"ids": list(ids), "status": "retried", "by": by, "reason": None}
    return [row[0] for row in session.execute(_RESOLVE, binds)]


def mark_discarded(session: Session, ids: Sequence[UUID], by: str, reason: str) -> list[UUID]:
    """Mark open dead letters as discarded by `by` for `reason`; returns those that were open."""
    binds = {"ids": list(ids), "status": "discarded", "by": by, "reason": reason}
    return [row[0] for row in session.execute(_RESOLVE, binds)]


def as_json(body: bytes) -> str:
    """Return a message's bytes as text that jsonb takes; what is no JSON as {"undecodable": ...}."""
    try:
        text = orjson.dumps(orjson.loads(body)).decode()
    except orjson.JSONDecodeError:
        raw = body[:_RAW_CHARS].decode("utf-8", "backslashreplace")
        text = orjson.dumps({"undecodable": raw}).decode()
    # jsonb has no NUL. An escaped backslash before u0000 is hit too, and stays valid JSON.
    return text.replace("\\u0000", "\\ufffd")
