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
from app.errors import DependencyUnavailable
from app.feedback.mails import Mail
from app.feedback.providers.event import Provider
from app.ids import new_id
from app.lifecycle import copies
from app.log import Event, logger
from app.mail.verp import AddressUse, CodedAddress
from app.queueing.messages import Outgoing, encode
from app.queueing.payloads import InboundPayload
from app.queueing.publisher import BatchPublisher
from app.queueing.steps import INBOUND

_CONFIRM_S = 5.0
_KINDS = {
    AddressUse.BOUNCE: "bounce",
    AddressUse.REPLY: "reply",
    AddressUse.UNSUBSCRIBE: "unsubscribe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One mail at one address. `return_path` is empty for the null path.

    `coded` is what the address says, its MAC held; None at the address of feedback loops, where the
    report itself has to prove which mail it is about. Found in a mailbox, it names the mail itself,
    and `account_id` is whose mailbox that is.
    """

    recipient: str
    return_path: str
    raw: bytes
    coded: CodedAddress | None = None
    account_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A stored mail whose turn it is; `tries` is how often its job had to be published again.

    With a `provider` it is no mail but an event that this one told.
    """

    id: UUID
    email_id: UUID | None
    recipient: str
    tries: int
    raw: bytes
    provider: Provider | None
    is_from_mailbox: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a mail or an event turned out to be; `classification` says by which rule."""

    kind: str
    is_ignored: bool
    classification: Mapping[str, Any]
    subject: str = ""
    message_id: str = ""


# A mail whose row retention has deleted belongs to no app any more: kept, and ignored later.
_STORE = """
INSERT INTO inbound_messages (id, app_id, email_id, kind, return_path, recipient, account_id)
VALUES (%(id)s, (SELECT app_id FROM emails WHERE id = %(email)s), %(email)s, %(kind)s, %(path)s,
        %(recipient)s, %(account)s)
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
                "account": one.account_id,
            }
            found = session.execute(_STORE, binds).fetchone()
            copies.keep(session, found[0] if found else None, [(row_id, one.raw)])
    return ids


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldEvent:
    """One event of a provider: the mail of the app it names, if any, and its bytes."""

    key: str
    email_id: UUID | None
    recipient: str
    raw: bytes


# An event that is told again is there already, under its key.
_STORE_EVENTS = """
INSERT INTO inbound_messages (id, app_id, email_id, kind, recipient, provider, event_key)
SELECT r.id, %(app)s, r.email, 'other', r.recipient, %(provider)s, r.key
FROM unnest(%(ids)s::uuid[], %(emails)s::uuid[], %(recipients)s::text[], %(keys)s::text[])
  AS r(id, email, recipient, key)
ON CONFLICT (app_id, provider, event_key) WHERE provider IS NOT NULL DO NOTHING
RETURNING id"""


def store_events(
    session: Session, app_id: UUID, provider: Provider, events: Sequence[ToldEvent]
) -> list[UUID]:
    """Store a provider's events, each once however often it is told; return the new ones' ids."""
    by_key = {event.key: event for event in events}
    rows = {new_id(): by_key[key] for key in sorted(by_key)}  # in key order: no two deadlock
    binds = {
        "app": app_id,
        "provider": provider,
        "ids": list(rows),
        "emails": [event.email_id for event in rows.values()],
        "recipients": [event.recipient for event in rows.values()],
        "keys": [event.key for event in rows.values()],
    }
    stored = [row[0] for row in session.execute(_STORE_EVENTS, binds).fetchall()]
    copies.keep(session, app_id, [(row_id, rows[row_id].raw) for row_id in stored])
    return sorted(stored)


_IS_KNOWN = """
SELECT FROM inbound_messages m JOIN inbox_message_content c ON c.ref_id = m.id
WHERE m.email_id = %(email)s AND m.account_id = %(account)s AND c.raw = %(raw)b LIMIT 1"""


def is_known(session: Session, arrival: Arrival) -> bool:
    """Tell whether the very same mail was found in the mailbox before, under another number."""
    email_id = arrival.coded.email_id if arrival.coded else None
    binds = {"email": email_id, "account": arrival.account_id, "raw": arrival.raw}
    return session.execute(_IS_KNOWN, binds).fetchone() is not None


_TAKE = """
SELECT m.id, m.email_id, m.recipient, m.republished, c.raw, m.provider,
       m.account_id IS NOT NULL
FROM inbound_messages m JOIN inbox_message_content c ON c.ref_id = m.id
WHERE m.id = %s AND m.status = 'received' FOR UPDATE OF m"""


def take(session: Session, message_id: UUID) -> Inbound | None:
    """Lock a mail that is still to be worked off; None when somebody was faster."""
    row = session.execute(_TAKE, (message_id,)).fetchone()
    if row is None:
        return None
    return Inbound(
        id=row[0],
        email_id=row[1],
        recipient=row[2],
        tries=row[3],
        raw=bytes(row[4]),
        provider=Provider(row[5]) if row[5] else None,
        is_from_mailbox=row[6],
    )


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


def announce(publisher: BatchPublisher, message_ids: Sequence[UUID]) -> None:
    """Publish the jobs of what was committed; RabbitMQ away is no reason to refuse it."""
    try:
        publisher.publish(jobs(message_ids), _CONFIRM_S)
    except DependencyUnavailable as error:
        logger().warning(Event.DEPENDENCY_LOST, dependency="rabbitmq", error=str(error))


def jobs(message_ids: Sequence[UUID]) -> list[Outgoing]:
    """Return the messages that let what is stored be worked off (actors/inbound)."""
    size = INBOUND.chunk
    pieces = [message_ids[start : start + size] for start in range(0, len(message_ids), size)]
    return [
        encode("work_off", INBOUND.queue, InboundPayload(message_ids=list(piece)))
        for piece in pieces
    ]
