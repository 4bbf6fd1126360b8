"""Erasing a person from what was submitted: headers of messages, lists of batches, kept answers."""

import re
import zlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.db.session import Session
from app.errors import Conflict
from app.redaction import mention, without_person

_MESSAGES = """
SELECT id, addressing, headers, metadata FROM messages
WHERE app_id = %(app)s AND (
  id = ANY(ARRAY(SELECT message_id FROM emails WHERE id = ANY(%(ids)s) AND message_id IS NOT NULL))
  OR concat_ws(' ', addressing, headers, metadata) ~* %(mention)s)"""
_BLANK = """
UPDATE messages SET addressing = %(addressing)s, headers = %(headers)s, metadata = %(metadata)s,
  idempotency_key = NULL
WHERE id = %(id)s"""
_OPEN = "SELECT body_compressed FROM batches WHERE app_id = %s AND body_compressed IS NOT NULL"
_REJECTED = """
UPDATE batches SET rejected = (
  SELECT coalesce(jsonb_agg(CASE WHEN one::text ~* %(mention)s
    THEN one || '{"email": "erased", "reason": "erased"}' ELSE one END ORDER BY place), '[]')
  FROM jsonb_array_elements(rejected) WITH ORDINALITY AS r(one, place))
WHERE app_id = %(app)s AND rejected::text ~* %(mention)s
RETURNING id"""
_ANSWERS = """
DELETE FROM idempotency_keys WHERE app_id = %(app)s
  AND convert_from(response_body, 'UTF8') ~* %(mention)s
RETURNING app_id"""


def require_expanded(session: Session, app_id: UUID, address: str) -> None:
    """Raise Conflict while a batch of the app that names `address` waits to be expanded."""
    named = _pattern(address)
    for (body,) in session.execute(_OPEN, (app_id,)).fetchall():
        if named.search(zlib.decompress(body).decode()):
            raise Conflict(
                "A batch that names this address is being expanded.",
                why="Its recipients become mails within seconds, and only then can be erased.",
                fix="Ask again in a few seconds.",
            )


def erase(session: Session, app_id: UUID, ids: Sequence[UUID], address: str) -> dict[str, int]:
    """Take an address (lower case) out of the app's submissions; return rows by table."""
    binds = {"app": app_id, "ids": list(ids), "mention": mention(address)}
    named = _pattern(address)
    found = session.execute(_MESSAGES, binds).fetchall()
    for row in found:
        cleaned = [Jsonb(without_person(without(part, address), named)) for part in row[1:4]]
        parts = dict(zip(("addressing", "headers", "metadata"), cleaned, strict=True))
        session.execute(_BLANK, {"id": row[0], **parts})
    return {
        "messages": len(found),
        "batches": len(session.execute(_REJECTED, binds).fetchall()),
        "idempotency_keys": len(session.execute(_ANSWERS, binds).fetchall()),
    }


def _pattern(address: str) -> re.Pattern[str]:
    return re.compile(mention(address), re.IGNORECASE)


def without(part: Any, address: str) -> Any:
    """Return a JSON value whose lists of people no longer have the one of `address` (lower case)."""
    if isinstance(part, dict):
        return {key: without(inner, address) for key, inner in part.items()}
    if isinstance(part, list):
        return [without(each, address) for each in part if not _is_person(each, address)]
    return part


def _is_person(part: Any, address: str) -> bool:
    said = part.get("email") if isinstance(part, dict) else part
    return isinstance(said, str) and said.lower() == address
