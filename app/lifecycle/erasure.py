"""Erasing a person from e-mails, their timelines and kept copies; the books keep their numbers.

A mail stays as a row without a person: its state, times and keyed hash. What SMTP servers said may
quote the address, so replies and requests are cut from the timeline too.
"""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session
from app.ids import lower_bound, stamped_at
from app.lifecycle import transitions
from app.lifecycle.events import QUOTES
from app.lifecycle.states import State
from app.redaction import ERASED

_MAILS = "SELECT id FROM emails WHERE app_id = %s AND to_hash = %s ORDER BY id"
_SHARED = """
SELECT e.id FROM emails e JOIN messages m ON m.id = e.message_id
WHERE e.id = ANY(%s) AND e.batch_id IS NULL AND m.recipients > 1 ORDER BY e.id"""
_NEAR = dt.timedelta(minutes=1)
_SIBLINGS = """
SELECT o.id FROM emails e JOIN emails o ON o.message_id = e.message_id AND o.id <> e.id
WHERE e.id = %(id)s AND o.app_id = %(app)s AND o.id BETWEEN %(low)s AND %(high)s"""
_HOLD = "SELECT status FROM emails WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_BLANK = """
UPDATE emails SET to_email = %(erased)s, to_name = NULL, variables = '{}',
  reason = CASE WHEN reason IS NOT NULL THEN split_part(reason, ':', 1) || ': erased' END
WHERE id = ANY(%(ids)s) AND (to_email <> %(erased)s OR reason IS NOT NULL)
RETURNING id"""
_TIMELINE = """
UPDATE email_events SET data = data - %(quotes)s::text[] WHERE email_id = ANY(%(ids)s)
RETURNING id"""
_COPIES = "DELETE FROM inbox_message_content WHERE ref_id = ANY(%s) RETURNING ref_id"
_NOTES = "DELETE FROM webhook_events WHERE email_id = ANY(%s) RETURNING id"


def mails_of(session: Session, app_id: UUID, to_hash: bytes) -> list[UUID]:
    """Return the ids of every mail to an address, whatever made it (index emails_app)."""
    return [row[0] for row in session.execute(_MAILS, (app_id, to_hash)).fetchall()]


def siblings(session: Session, app_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Return the other mails of the same submissions: their To and Cc name the person.

    Mails of one submission are made in one transaction: their ids are near (index emails_app).
    """
    found: list[UUID] = []
    for (email_id,) in session.execute(_SHARED, (list(ids),)).fetchall():
        at = stamped_at(email_id)
        binds = {
            "app": app_id,
            "id": email_id,
            "low": lower_bound(at - _NEAR),
            "high": lower_bound(at + _NEAR),
        }
        found += [row[0] for row in session.execute(_SIBLINGS, binds).fetchall()]
    return found


def in_flight(session: Session, ids: Sequence[UUID]) -> int:
    """Return how many of these mails a worker is sending now: their outcome is still to come.

    The others are held until the transaction ends: no worker takes them meanwhile.
    """
    rows = session.execute(_HOLD, (list(ids),)).fetchall()
    return sum(row[0] == State.SENDING for row in rows)


def erase(session: Session, ids: Sequence[UUID], others: Sequence[UUID]) -> dict[str, int]:
    """Stop what waits of these mails and blank them all; return rows by table.

    `others`: messages that answered them and mails that named them, whose kept copies go as well.
    """
    transitions.stop(session, [(each, "suppressed: erased") for each in ids], State.SUPPRESSED)
    chosen = list(ids)
    quoted = {"ids": chosen, "quotes": list(QUOTES)}
    blank = session.execute(_BLANK, {"ids": chosen, "erased": ERASED}).fetchall()
    return {
        "emails": len(blank),
        "email_events": len(session.execute(_TIMELINE, quoted).fetchall()),
        "inbox_message_content": len(session.execute(_COPIES, ([*chosen, *others],)).fetchall()),
        "webhook_events": len(session.execute(_NOTES, (chosen,)).fetchall()),
    }
