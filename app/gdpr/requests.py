"""A person's rights (GDPR, articles 15 and 17): everything that is kept, and erasing it.

It stands above the rooms because it joins them: each erases what it writes. An erasure is one
transaction: whole or not at all, and safe to ask for again; app/gdpr/queues follows it through
RabbitMQ. The keyed hash stays, so that the person is not written to again; the receipt says what
was erased, by table.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from app.assembly import erasure as bodies
from app.audit import AuditEntry, Author, record
from app.campaigns import leads
from app.db.session import Session
from app.errors import Conflict
from app.feedback import erasure as answers
from app.gdpr import queues
from app.ids import new_id
from app.lifecycle import erasure as mails
from app.policy import suppression
from app.privacy import address_hash
from app.queueing import erasure as letters
from app.redaction import mention
from app.scheduling import erasure as jobs
from app.submission import erasure as submissions
from app.webhooks import deliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; it names the person by the keyed hash only. `receipt`: rows by table.

    An erasure is open or running until nothing of the person can be left in a queue.
    """

    id: UUID
    kind: str
    email_hash: bytes
    status: str
    receipt: dict[str, Any] | None
    requested_by: str
    created_at: dt.datetime
    finished_at: dt.datetime | None


_NOTE = """
INSERT INTO gdpr_requests (id, app_id, kind, email_hash, status, receipt, requested_by, finished_at)
VALUES (%(id)s, %(app)s, %(kind)s, %(hash)s, %(status)s, %(receipt)s, %(by)s,
        CASE WHEN %(status)s = 'done' THEN now() END)
RETURNING id, kind, email_hash, status, receipt, requested_by, created_at, finished_at"""
_LIST = """
SELECT id, kind, email_hash, status, receipt, requested_by, created_at, finished_at
FROM gdpr_requests
WHERE app_id = %(app)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""

# What the tables keep of a person; `ids` are their mails, `hash` their keyed hash, `mention` a
# pattern of their address. Not: what lies in queues for a moment, and counters without a person.
_KEPT = {
    "leads": "SELECT id, email, timezone, variables, status, created_at FROM leads "
    "WHERE app_id = %(app)s AND email_hash = %(hash)s ORDER BY id",
    "emails": "SELECT id, to_email, to_name, variables, status, reason, campaign_id, message_id, "
    "created_at, sent_at FROM emails WHERE id = ANY(%(ids)s) ORDER BY id",
    "email_events": "SELECT email_id, type, data, at FROM email_events "
    "WHERE email_id = ANY(%(ids)s) ORDER BY email_id, at, id",
    "messages": "SELECT id, addressing, headers, metadata, tags, created_at FROM messages "
    "WHERE id = ANY(ARRAY(SELECT message_id FROM emails WHERE id = ANY(%(ids)s))) ORDER BY id",
    "enrolments": "SELECT campaign_id, status, stop_reason, steps_planned, created_at "
    "FROM enrolments WHERE lead_id = ANY(ARRAY(SELECT id FROM leads WHERE app_id = %(app)s "
    "AND email_hash = %(hash)s)) ORDER BY id",
    "contents": "SELECT id, subject, html, body_text FROM template_versions WHERE template_id IS "
    "NULL AND id = ANY(ARRAY(SELECT template_version_id FROM emails WHERE id = ANY(%(ids)s)))",
    "attachments": "SELECT message_id, filename, content_id FROM message_attachments "
    "WHERE message_id = ANY(ARRAY(SELECT message_id FROM emails WHERE id = ANY(%(ids)s)))",
    "copies": "SELECT ref_id, encode(raw, 'base64') AS raw, created_at FROM inbox_message_content "
    "WHERE ref_id = ANY(%(ids)s) OR ref_id = ANY(ARRAY(SELECT id FROM inbound_messages "
    "WHERE email_id = ANY(%(ids)s))) ORDER BY ref_id",
    "soft_bounces": "SELECT email_id, at FROM soft_bounces "
    "WHERE app_id = %(app)s AND email_hash = %(hash)s ORDER BY at",
    "scheduled_jobs": "SELECT id, name, action FROM scheduled_jobs "
    "WHERE app_id = %(app)s AND action::text ~* %(mention)s ORDER BY id",
    "dead_letters": "SELECT id, queue, error, failed_at FROM dead_letters WHERE app_id = %(app)s "
    "AND concat_ws(' ', message, error) ~* %(mention)s ORDER BY id",
    "suppression": "SELECT email, reason, source, expires_at, created_at FROM suppression_list "
    "WHERE app_id = %(app)s AND email_hash = %(hash)s",
    "inbound": "SELECT id, kind, subject, return_path, recipient, classification, created_at "
    "FROM inbound_messages WHERE email_id = ANY(%(ids)s) ORDER BY id",
    "webhook_deliveries": "SELECT id, event, payload, status, created_at FROM webhook_deliveries "
    "WHERE email_id = ANY(%(ids)s) ORDER BY id",
}


def export(
    session: Session, app_id: UUID, email: str, pepper: str, author: Author
) -> dict[str, list[dict[str, Any]]]:
    """Return what an app's tables keep of a person, by table; the request is noted."""
    digest = address_hash(email, pepper)
    binds = {
        "app": app_id,
        "hash": digest,
        "ids": mails.mails_of(session, app_id, digest),
        "mention": mention(email.strip()),
    }
    found = {
        name: session.cursor(row_factory=dict_row).execute(query, binds).fetchall()
        for name, query in _KEPT.items()
    }
    _note(session, app_id, author, "export", digest, {name: len(found[name]) for name in found})
    return found


def erase(session: Session, app_id: UUID, email: str, pepper: str, author: Author) -> Request:
    """Erase a person from every table of the app and return the receipt, so far.

    Call inside a transaction. Raises Conflict while a mail to them is being sent or a batch that
    names them is being expanded: ask again then.
    """
    digest, address = address_hash(email, pepper), email.strip().lower()
    submissions.require_expanded(session, app_id, address)
    suppressed = suppression.erase(session, app_id, digest)
    # First, so that a pass that plans a mail to the lead has ended, and its mail is found.
    people = leads.erase(session, app_id, digest)
    ids = mails.mails_of(session, app_id, digest)
    if mails.in_flight(session, ids):
        raise Conflict(
            "A mail to this address is being sent.",
            why="What its server answers would be written after the erasure.",
            fix="Ask again in a few minutes.",
        )
    inbound = answers.erase(session, app_id, ids, address)
    dead = letters.erase(session, app_id, address)
    receipt = {
        **bodies.erase(session, app_id, ids, digest),
        **jobs.erase(session, app_id, address),
        "inbound_messages": len(inbound),
        **submissions.erase(session, app_id, ids, address),
        "dead_letters": len(dead),
        **deliveries.erase(session, ids),
        **mails.erase(session, ids, [*inbound, *mails.siblings(session, app_id, ids)]),
        **people,
        **suppressed,
    }
    dirty = {queues.LETTERS: queues.noted(dead)}
    return _note(session, app_id, author, "erase", digest, receipt | dirty)


def list_page(session: Session, app_id: UUID, *, after: UUID | None, limit: int) -> list[Request]:
    """Return an app's requests, newest first (index gdpr_requests_app_id_id)."""
    binds = {"app": app_id, "after": after, "limit": limit}
    return session.cursor(row_factory=class_row(Request)).execute(_LIST, binds).fetchall()


def _note(  # noqa: PLR0913, PLR0917 - the columns of the row
    session: Session,
    app_id: UUID,
    author: Author,
    kind: str,
    digest: bytes,
    receipt: dict[str, Any],
) -> Request:
    binds = {
        "id": new_id(),
        "app": app_id,
        "kind": kind,
        "hash": digest,
        "status": "open" if kind == "erase" else "done",
        "receipt": Jsonb(receipt),
        "by": author.name,
    }
    noted = session.cursor(row_factory=class_row(Request)).execute(_NOTE, binds).fetchall()[0]
    action = "person.erased" if kind == "erase" else "person.exported"
    entry = AuditEntry(
        app_id=app_id,
        author=author,
        action=action,
        target_kind="person",
        target_id=digest.hex(),
        after={name: rows for name, rows in receipt.items() if name != queues.LETTERS},
    )
    record(session, entry)
    return noted
