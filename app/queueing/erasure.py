"""Erasing a person from dead letters: the row at once, the message in RabbitMQ right after it.

The other mails of the same chunk can still be retried. A chunk that names mails by id alone stays
whole: it holds no address.
"""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from app.db.session import Session
from app.redaction import addresses, mention, without_person


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedLetter:
    """A dead letter whose row no longer names the person; its message in RabbitMQ still may."""

    id: UUID
    queue: str


_TEXTS = "concat_ws(' ', message, error, traceback, reason)"
_OF_APP = f"""
SELECT id, queue, message FROM dead_letters
WHERE app_id = %(app)s AND {_TEXTS} ~* %(mention)s ORDER BY id"""  # noqa: S608 - constants
# What died since, and what belongs to no app, where only the address says whose it is.
_LATER = f"""
SELECT id, queue, message, {_TEXTS} FROM dead_letters
WHERE (app_id = %(app)s AND failed_at >= %(since)s OR app_id IS NULL AND failed_at >= %(of_none)s)
  AND {_TEXTS} LIKE '%%@%%'
ORDER BY id"""  # noqa: S608 - constants
_BLANK = """
UPDATE dead_letters SET message = %(message)s, error = 'erased', traceback = NULL,
  status = CASE WHEN %(is_empty)s AND status = 'open' THEN 'discarded' ELSE status END,
  resolved_at = CASE WHEN %(is_empty)s THEN coalesce(resolved_at, now()) ELSE resolved_at END,
  published_at = coalesce(published_at, CASE WHEN %(is_empty)s THEN now() END)
WHERE id = %(id)s"""


def erase(session: Session, app_id: UUID, address: str) -> list[ErasedLetter]:
    """Take an address (lower case) out of the rows of the app's dead letters; return which."""
    binds = {"app": app_id, "mention": mention(address)}
    return _erase(session, session.execute(_OF_APP, binds).fetchall(), {address})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Letters of an app that died `since`, and those of no app that died since `of_none`."""

    app_id: UUID
    since: dt.datetime
    of_none: dt.datetime


def erase_later(
    session: Session, scope: Scope, is_person: Callable[[str], bool]
) -> list[ErasedLetter]:
    """Take a person whom only `is_person` knows, by a hash, out of letters; return which."""
    binds = {"app": scope.app_id, "since": scope.since, "of_none": scope.of_none}
    found = session.execute(_LATER, binds).fetchall()
    done: list[ErasedLetter] = []
    for row in found:
        names = {each for each in addresses(row[3]) if is_person(each)}
        if names:
            done += _erase(session, [row], names)
    return done


def _erase(session: Session, rows: Sequence[TupleRow], names: set[str]) -> list[ErasedLetter]:
    for row in rows:
        kept = without_mails(row[2], names)
        session.execute(_BLANK, {"id": row[0], "message": Jsonb(kept), "is_empty": not kept})
    return [ErasedLetter(id=row[0], queue=row[1]) for row in rows]


def without_mails(message: Any, names: set[str]) -> dict[str, Any]:
    """Return a message without the mails to these addresses (lower case); empty: nothing is left.

    What is no message of ours names people in places nobody knows: nothing of it is kept.
    """
    payload = message.get("kwargs", {}).get("payload") if isinstance(message, dict) else None
    if not isinstance(payload, dict):
        return {}
    mails = payload.get("mails")
    if mails is not None:
        others = [mail for mail in mails if str(mail.get("to", "")).lower() not in names]
        if not others:
            return {}
        payload = {**payload, "mails": others}
    kept: dict[str, Any] = {**message, "options": {}, "kwargs": {"payload": payload}}
    for name in names:
        kept = without_person(kept, re.compile(mention(name), re.IGNORECASE))
    return kept
