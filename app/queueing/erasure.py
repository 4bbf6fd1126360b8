"""Erasing a person from the rows of dead letters; the others of the same chunk can still be retried."""

from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.db.session import Session

_FOUND = """
SELECT id, message FROM dead_letters WHERE app_id = %(app)s
  AND position(%(address)s IN lower(concat(message, error, traceback))) > 0"""
_BLANK = """
UPDATE dead_letters SET message = %(message)s, error = 'erased', traceback = NULL,
  status = CASE WHEN %(is_empty)s AND status = 'open' THEN 'discarded' ELSE status END,
  resolved_at = CASE WHEN %(is_empty)s THEN coalesce(resolved_at, now()) ELSE resolved_at END
WHERE id = %(id)s"""


def erase(session: Session, app_id: UUID, address: str) -> dict[str, int]:
    """Take an address (lower case) out of the app's dead letters; return rows by table."""
    found = session.execute(_FOUND, {"app": app_id, "address": address}).fetchall()
    for letter_id, message in found:
        kept = _without(message, address)
        binds = {"id": letter_id, "message": Jsonb(kept), "is_empty": not kept}
        session.execute(_BLANK, binds)
    return {"dead_letters": len(found)}


def _without(message: Any, address: str) -> dict[str, Any]:
    """Return the message with the other mails of its chunk; empty when there are none."""
    payload = message.get("kwargs", {}).get("payload", {}) if isinstance(message, dict) else {}
    mails = payload.get("mails") or []
    others = [mail for mail in mails if str(mail.get("to", "")).lower() != address]
    if not others:
        return {}
    return {**message, "options": {}, "kwargs": {"payload": {**payload, "mails": others}}}
