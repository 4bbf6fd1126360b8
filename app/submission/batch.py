"""Batches: up to 10,000 recipients taken as one compressed body, expanded by the schedule stage.

Taking one costs one commit: every address is judged (the wrong ones are reported with a pointer),
the others wait compressed in the row. Expanding plans them in blocks, each in a transaction that
also moves the row's cursor `expanded`: wherever a worker dies, each recipient gets one mail, and
two workers cannot take the same batch (row lock, SKIP LOCKED).
"""

import datetime as dt
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.clock import monotonic_s
from app.db.session import Session, one
from app.errors import InputInvalid, NotFound
from app.ids import new_id, new_ids
from app.mail.address import normalise
from app.submission import contents
from app.submission.accept import common_of
from app.submission.contents import Sheet
from app.submission.desk import Desk, Submitter
from app.submission.mails import Common, Recipient, mails_of, plan_mails
from app.submission.route import contents_of, route_of
from app.submission.schemas import Batch

_BLOCK = 1_000  # mails of one transaction: about 50 ms, and little memory
_FASTEST = 1  # compression level: 2 ms for 10,000 recipients

# Address, name and variables of a valid recipient, as the compressed body holds them.
Line = tuple[str, str | None, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedBatch:
    """A batch that was taken: how many will get a mail, and the recipients that cannot."""

    id: UUID
    accepted: int
    rejected: tuple[dict[str, str], ...]
    due_at: dt.datetime


_STORE = """
INSERT INTO batches (id, app_id, message_id, status, accepted, body_compressed, rejected)
VALUES (%(id)s, %(app)s, %(message)s, %(status)s, %(accepted)s, %(body)s, %(rejected)s)"""


def accept_batch(session: Session, who: Submitter, order: Batch, desk: Desk) -> AcceptedBatch:
    """Store a batch to be expanded. Call inside a transaction.

    Raises InputInvalid (also when no recipient is valid), TemplateInvalid, Conflict, Forbidden.
    """
    route = route_of(session, who, order, desk)
    lines, rejected = _judged(order)
    sheet = Sheet(
        message_id=new_id(),
        who=who,
        order=order,
        route=route,
        version_id=contents_of(session, who.app_id, [order], desk)[0],
        recipients=len(lines),
    )
    common = common_of(sheet)
    with session.pipeline():  # two statements for each file
        contents.store(session, who.app_id, [sheet])
    batch_id = new_id()
    session.execute(
        _STORE,
        {
            "id": batch_id,
            "app": who.app_id,
            "message": sheet.message_id,
            "status": "accepted",
            "accepted": len(lines),
            "body": _packed(common, lines),
            "rejected": Jsonb(rejected),
        },
    )
    return AcceptedBatch(
        id=batch_id, accepted=len(lines), rejected=tuple(rejected), due_at=common.due_at
    )


def _judged(order: Batch) -> tuple[list[Line], list[dict[str, str]]]:
    """Return the valid recipients, and the others with a pointer (RFC 6901) and the reason."""
    lines: list[Line] = []
    rejected: list[dict[str, str]] = []
    seen: set[str] = set()
    for place, mail in enumerate(order.emails):
        given, name = mail.recipient()
        try:
            email = normalise(given)
        except InputInvalid as error:
            rejected.append(_rejected(place, given, error.why))
            continue
        if (folded := email.lower()) in seen:
            rejected.append(_rejected(place, given, "It stands in this batch before."))
            continue
        seen.add(folded)
        lines.append((email, name, mail.values()))
    if not lines:
        raise InputInvalid(
            "No recipient of the batch can be written to.",
            why=f"{rejected[0]['pointer']}: {rejected[0]['reason']}",
            fix="Correct the addresses.",
            field="emails",
        )
    return lines, rejected


def _rejected(place: int, given: str, why: str) -> dict[str, str]:
    return {"pointer": f"/emails/{place}/to", "email": given, "reason": why}


def _packed(common: Common, lines: list[Line]) -> bytes:
    try:
        raw = orjson.dumps({"common": common, "lines": lines})
    except orjson.JSONEncodeError as error:
        raise InputInvalid(
            "The variables of a recipient cannot be kept.",
            why="They nest too deep or hold a number beyond 64 bits.",
            fix="Write such numbers as text.",
            field="emails",
        ) from error
    return zlib.compress(raw, _FASTEST)


# ---- read ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchState:
    """How a batch stands; `rejected` recipients cannot be written to."""

    id: UUID
    status: str
    accepted: int
    expanded: int
    rejected: int
    created_at: dt.datetime


_STATE = """
SELECT id, status, accepted, expanded, jsonb_array_length(rejected) AS rejected, created_at
FROM batches WHERE app_id = %s AND id = %s"""
_REJECTED = """
SELECT r.one FROM batches b, jsonb_array_elements(b.rejected) WITH ORDINALITY AS r(one, place)
WHERE b.app_id = %(app)s AND b.id = %(batch)s AND r.place > %(start)s
ORDER BY r.place LIMIT %(limit)s"""


def get(session: Session, app_id: UUID, batch_id: UUID) -> BatchState:
    """Return how a batch stands; raises NotFound."""
    cursor = session.cursor(row_factory=class_row(BatchState))
    found = cursor.execute(_STATE, (app_id, batch_id)).fetchone()
    if found is None:
        raise NotFound(f"There is no batch {batch_id}.", field="batch_id")
    return found


def rejected(
    session: Session, app_id: UUID, batch_id: UUID, start: int, limit: int
) -> list[dict[str, str]]:
    """Return rejected recipients behind the first `start`; raises NotFound."""
    get(session, app_id, batch_id)
    binds = {"app": app_id, "batch": batch_id, "start": start, "limit": limit}
    return [row[0] for row in session.execute(_REJECTED, binds).fetchall()]


# ---- expanded by the schedule stage -------------------------------------------------------------

_OPEN = """
SELECT id FROM batches WHERE status IN ('accepted', 'expanding') ORDER BY id LIMIT 100"""
_LOCK = """
SELECT expanded, accepted FROM batches
WHERE id = %s AND status IN ('accepted', 'expanding') FOR UPDATE SKIP LOCKED"""
_BODY = "SELECT body_compressed FROM batches WHERE id = %s AND body_compressed IS NOT NULL"
_ADVANCE = """
UPDATE batches SET expanded = %(done)s,
  status = CASE WHEN %(done)s >= accepted THEN 'expanded' ELSE 'expanding' END,
  body_compressed = CASE WHEN %(done)s >= accepted THEN NULL ELSE body_compressed END
WHERE id = %(batch)s"""
_FAIL = """
UPDATE batches SET status = 'failed', rejected = rejected || %s::jsonb, body_compressed = NULL
WHERE id = %s"""


def expand_open(session: Session, pepper: str, now: dt.datetime, within_s: float) -> int:
    """Expand what was taken, oldest first, for about `within_s`; return the mails planned.

    A batch that cannot be expanded is marked as failed with the reason; the others go on.
    """
    ends_at = monotonic_s() + within_s
    planned = 0
    for (batch_id,) in session.execute(_OPEN).fetchall():
        try:
            for count in expand(session, batch_id, pepper, now):
                planned += count
                if monotonic_s() >= ends_at:
                    return planned
        except (psycopg.DataError, psycopg.IntegrityError, zlib.error, ValueError) as error:
            note = [{"pointer": "", "email": "", "reason": f"not expanded: {type(error).__name__}"}]
            session.execute(_FAIL, (Jsonb(note), batch_id))
    return planned


def expand(session: Session, batch_id: UUID, pepper: str, now: dt.datetime) -> Iterator[int]:
    """Plan the mails of one batch, block by block; yield how many, after each commit.

    Ends quietly when the batch is done, gone, or in other hands.
    """
    row = one(session, _BODY, (batch_id,))
    if row is None:
        return
    common, lines = _unpacked(batch_id, row[0])
    while True:
        with session.transaction():
            state = one(session, _LOCK, (batch_id,))
            if state is None:
                return
            start = int(state[0])
            block = lines[start : start + _BLOCK]
            _plan_block(session, common, block, pepper, now)
            done = start + len(block)
            session.execute(_ADVANCE, {"done": done, "batch": batch_id})
        yield len(block)
        if done >= len(lines):
            return


def _plan_block(
    session: Session, common: Common, block: list[Line], pepper: str, now: dt.datetime
) -> None:
    ids = new_ids(len(block), now)
    recipients = [
        Recipient(id=UUID(text), email=email, name=name, variables=variables)
        for text, (email, name, variables) in zip(ids, block, strict=True)
    ]
    plan_mails(session, common.app_id, mails_of(common, recipients, pepper))


def _unpacked(batch_id: UUID, body: bytes) -> tuple[Common, list[Line]]:
    found = orjson.loads(zlib.decompress(body))
    raw = found["common"]
    ends_at = raw["expires_at"]
    common = Common(
        app_id=UUID(raw["app_id"]),
        queue_id=UUID(raw["queue_id"]),
        account_id=UUID(raw["account_id"]),
        version_id=UUID(raw["version_id"]),
        message_id=UUID(raw["message_id"]),
        priority=raw["priority"],
        due_at=dt.datetime.fromisoformat(raw["due_at"]),
        expires_at=None if ends_at is None else dt.datetime.fromisoformat(ends_at),
        batch_id=batch_id,
        request_id=raw["request_id"],
    )
    return common, found["lines"]
