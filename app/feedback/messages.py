"""What came back, as rows: stored before its sender hears 250, worked off once.

The row is the outbox: its job may be lost or come twice. `received` = to be worked off; the guard of
every effect is the move out of it, in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.db.session import Session
from app.feedback.mails import Mail
from app.ids import new_id
from app.lifecycle import copies
from app.mail.verp import AddressUse, CodedAddress
from app.queueing.messages import Outgoing, encode
from app.queueing.payloads import InboundPayload
from app.queueing.steps import INBOUND

_KINDS = {
    AddressUse.BOUNCE: "bounce",
    AddressUse.REPLY: "reply",
    AddressUse.UNSUBSCRIBE: "unsubscribe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One mail at one address. `return_path` is empty for the null path.

    `coded` is what the address says, its MAC held; None at the address of feedback loops, where the
    report itself has to prove which mail it is about.
    """

    recipient: str
    return_path: str
    raw: bytes
    coded: CodedAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A stored mail whose turn it is; `tries` is how often its job had to be published again."""

    id: UUID
    email_id: UUID | None
    recipient: str
    tries: int
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a mail turned out to be; `classification` says by which rule."""

    kind: str
    is_ignored: bool
    subject: str
    message_id: str
    classification: Mapping[str, Any]


# A mail whose row retention has deleted belongs to no app any more: kept, and ignored later.
_STORE = """
INSERT INTO inbound_messages (id, app_id, email_id, kind, return_path, recipient)
VALUES (%(id)s, (SELECT app_id FROM emails WHERE id = %(email)s), %(email)s, %(kind)s, %(path)s,
        %(recipient)s)
RETURNING app_id"""


def store(session: Session, arrivals: Sequence[Arrival]) -> list[UUID]:
    """Store mails with their bytes; committed when this returns. The ids are in order."""
    ids = [new_id() for _ in arrivals]
    with session.transaction():
        for row_id, one in zip(ids, arrivals, strict=True):
            binds = {
                "id": row_id,
                "email": one.coded.email_id if one.coded else None,
                "kind": _KINDS[one.coded.use] if one.coded else "complaint",
                "path": one.return_path,
                "recipient": one.recipient,
            }
            found = session.execute(_STORE, binds).fetchone()
            copies.keep(session, found[0] if found else None, [(row_id, one.raw)])
    return ids


_TAKE = """
SELECT m.id, m.email_id, m.recipient, m.republished, c.raw
FROM inbound_messages m JOIN inbox_message_content c ON c.ref_id = m.id
WHERE m.id = %s AND m.status = 'received' FOR UPDATE OF m"""


def take(session: Session, message_id: UUID) -> Inbound | None:
    """Lock a mail that is still to be worked off; None when somebody was faster."""
    row = session.execute(_TAKE, (message_id,)).fetchone()
    if row is None:
        return None
    return Inbound(id=row[0], email_id=row[1], recipient=row[2], tries=row[3], raw=bytes(row[4]))


_ASSIGN = "UPDATE inbound_messages SET email_id = %s, app_id = %s WHERE id = %s"


def assign(session: Session, message_id: UUID, mail: Mail) -> None:
    """Note which mail a report is about, once it has proved that."""
    session.execute(_ASSIGN, (mail.id, mail.app_id, message_id))
    copies.assign(session, message_id, mail.app_id)


_SETTLE = """
UPDATE inbound_messages SET kind = %(kind)s, subject = %(subject)s,
  message_id_header = %(message_id)s, classification = %(classification)s, touched_at = now(),
  status = CASE WHEN %(ignored)s THEN 'ignored' ELSE 'processed' END
WHERE id = %(id)s"""


def settle(session: Session, message_id: UUID, done: Settled) -> None:
    """Note what a taken mail was, in the transaction of its effects."""
    binds = {
        "id": message_id,
        "kind": done.kind,
        "subject": done.subject.replace("\0", "")[:998] or None,
        "message_id": done.message_id.replace("\0", "")[:998] or None,
        "classification": Jsonb(dict(done.classification)),
        "ignored": done.is_ignored,
    }
    session.execute(_SETTLE, binds)


# The wait doubles: 15 s at first, hours at last. Index inbound_messages_open.
_OVERDUE = """
UPDATE inbound_messages SET republished = republished + 1, touched_at = now(),
  status = CASE WHEN republished >= %(most)s THEN 'failed' ELSE status END
WHERE id = ANY(ARRAY(
  SELECT id FROM inbound_messages
  WHERE status = 'received' AND touched_at < now() - %(after)s * interval '1 s' * (1 << republished)
  ORDER BY touched_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING id, status"""


def overdue(session: Session, *, after_s: int, most: int, limit: int) -> list[UUID]:
    """Return mails whose job made no progress, to be published again; give up after `most` times."""
    binds = {"after": after_s, "most": most, "limit": limit}
    rows = session.execute(_OVERDUE, binds).fetchall()
    return sorted(row[0] for row in rows if row[1] == "received")


def job(message_ids: Sequence[UUID]) -> Outgoing:
    """Return the message that lets stored mails be worked off (actors/inbound)."""
    return encode("work_off", INBOUND.queue, InboundPayload(message_ids=list(message_ids)))
