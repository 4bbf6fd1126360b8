"""From notes to deliveries: one row for each endpoint that wants an event, made exactly once.

Notes are taken and deliveries written in one transaction, so a crash repeats nothing; the key
(endpoint_id, event_id) says the same to the database. One pass at a time: two would write a mail's
later event before its earlier one.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from psycopg.rows import class_row, dict_row

from app.db.session import Session, one
from app.ids import new_id
from app.webhooks.events import TEST

BATCH = 500
LOCK = 7_201_001


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing that happened to a mail, or to a sender (`email_id` None), and is to be told."""

    id: int
    app_id: UUID
    email_id: UUID | None
    event: str
    data: dict[str, Any]
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery to be; `note` None = a test."""

    app_id: UUID
    endpoint_id: UUID
    event: str
    payload: Mapping[str, Any]
    note: Note | None = None


_TAKE = """
DELETE FROM webhook_events WHERE id = ANY(ARRAY(
  SELECT id FROM webhook_events ORDER BY id LIMIT %s))
RETURNING id, app_id, email_id, event, data, at"""

# By primary key; BETWEEN prunes the partitions.
_MAILS = """
SELECT e.id, e.to_email, e.campaign_id, e.lead_id, e.batch_id, e.message_id, e.request_id,
       m.tags, m.metadata
FROM emails e LEFT JOIN messages m ON m.id = e.message_id
WHERE e.id = ANY(%(ids)b) AND e.id BETWEEN %(low)b AND %(high)b"""

_ENDPOINTS = """
SELECT id, app_id, events FROM webhook_endpoints
WHERE app_id = ANY(%s) AND status <> 'disabled' ORDER BY id"""

_INSERT = """
INSERT INTO webhook_deliveries (id, app_id, endpoint_id, event, payload, event_id, email_id, due_at)
SELECT id, app_id, endpoint_id, event, payload::jsonb, event_id, email_id, now()
FROM unnest(%(ids)b::uuid[], %(apps)b::uuid[], %(endpoints)b::uuid[], %(events)b::text[],
            %(payloads)b::text[], %(notes)b::bigint[], %(emails)b::uuid[])
     AS r(id, app_id, endpoint_id, event, payload, event_id, email_id)
ON CONFLICT DO NOTHING RETURNING id"""


def fan_out(session: Session, limit: int = BATCH) -> int:
    """Make deliveries of at most `limit` notes, oldest first; return how many notes were taken.

    None are taken while another pass is at it.
    """
    with session.transaction():
        locked = one(session, "SELECT pg_try_advisory_xact_lock(%s)", (LOCK,))
        if not (locked and locked[0]):
            return 0
        notes = session.cursor(row_factory=class_row(Note)).execute(_TAKE, (limit,)).fetchall()
        if notes:
            insert(session, list(_deliveries(session, sorted(notes, key=lambda note: note.id))))
    return len(notes)


def insert(session: Session, deliveries: Sequence[Delivery]) -> list[UUID]:
    """Store deliveries, due now, and return their ids; one that is there already stays as it is."""
    if not deliveries:
        return []
    binds = {
        "ids": [new_id() for _ in deliveries],
        "apps": [each.app_id for each in deliveries],
        "endpoints": [each.endpoint_id for each in deliveries],
        "events": [each.event for each in deliveries],
        "payloads": [orjson.dumps(each.payload).decode() for each in deliveries],
        "notes": [each.note.id if each.note else None for each in deliveries],
        "emails": [each.note.email_id if each.note else None for each in deliveries],
    }
    return [row[0] for row in session.execute(_INSERT, binds).fetchall()]


def test_delivery(app_id: UUID, endpoint_id: UUID, now: dt.datetime) -> Delivery:
    """Return a delivery that only shows that the endpoint works."""
    payload = {
        "type": TEST,
        "timestamp": now.isoformat(),
        "data": {"app_id": str(app_id), "text": "This is a test of your webhook."},
    }
    return Delivery(app_id=app_id, endpoint_id=endpoint_id, event=TEST, payload=payload)


def _deliveries(session: Session, notes: Sequence[Note]) -> Iterable[Delivery]:
    wanted = _wanted(session, {note.app_id for note in notes})
    mails = _mails(session, {note.email_id for note in notes if note.email_id})
    for note in notes:
        facts = mails.get(note.email_id) if note.email_id else {}
        if facts is None:  # erased, or dropped by retention, before it was told
            continue
        payload = _payload(note, facts) if facts else _payload_of_sender(note)
        for endpoint_id, events in wanted[note.app_id]:
            if not events or note.event in events:
                yield Delivery(
                    app_id=note.app_id,
                    endpoint_id=endpoint_id,
                    event=note.event,
                    payload=payload,
                    note=note,
                )


def _wanted(session: Session, apps: set[UUID]) -> dict[UUID, list[tuple[UUID, frozenset[str]]]]:
    wanted: dict[UUID, list[tuple[UUID, frozenset[str]]]] = defaultdict(list)
    for endpoint_id, app_id, events in session.execute(_ENDPOINTS, (list(apps),)).fetchall():
        wanted[app_id].append((endpoint_id, frozenset(events)))
    return wanted


def _mails(session: Session, ids: set[UUID]) -> dict[UUID, dict[str, Any]]:
    if not ids:
        return {}
    binds = {"ids": list(ids), "low": min(ids), "high": max(ids)}
    rows = session.cursor(row_factory=dict_row).execute(_MAILS, binds).fetchall()
    return {row["id"]: row for row in rows}


def _payload(note: Note, facts: Mapping[str, Any]) -> dict[str, Any]:
    ids = ("campaign_id", "lead_id", "batch_id", "message_id", "request_id")
    known = {name: facts[name] for name in ids if facts[name] is not None}
    data = {
        "email_id": note.email_id,
        "app_id": note.app_id,
        "to": facts["to_email"],
        **known,
        "tags": facts["tags"] or [],
        "metadata": facts["metadata"] or {},
        "detail": {name: value for name, value in note.data.items() if value is not None},
    }
    return {"type": note.event, "timestamp": note.at.isoformat(), "data": data}


def _payload_of_sender(note: Note) -> dict[str, Any]:
    data = {"app_id": note.app_id, "detail": note.data}
    return {"type": note.event, "timestamp": note.at.isoformat(), "data": data}
