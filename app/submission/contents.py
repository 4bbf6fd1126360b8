"""The row all mails of one submission share: what they say, to whom they are addressed, their files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson

from app.db.session import Session
from app.ids import new_id
from app.mail.attachments import AttachedFile, AttachmentLimits, check_attachments, decoded
from app.submission.desk import Submitter
from app.submission.route import Route
from app.submission.schemas import Email, File, Party, Shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a message is made of. `recipients` = the ledger's planned."""

    message_id: UUID
    who: Submitter
    order: Shared
    route: Route
    version_id: UUID
    recipients: int


# All rows in one text: a dozen arrays would cost more to write than these few rows to read.
_MESSAGES = """
INSERT INTO messages
    (id, app_id, template_version_id, headers, tags, metadata, recipients, addressing,
     tracks_opens, tracks_clicks, is_simulated, unsubscribe, idempotency_key)
SELECT id, %(app)s, version, headers, ARRAY(SELECT jsonb_array_elements_text(tags)), metadata,
       recipients, addressing, opens, clicks, simulated, unsubscribe, key
FROM jsonb_to_recordset(%(rows)s::jsonb)
     AS m(id uuid, version uuid, headers jsonb, tags jsonb, metadata jsonb, recipients int,
          addressing jsonb, opens bool, clicks bool, simulated bool, unsubscribe bool, key text)"""


def store(session: Session, app_id: UUID, sheets: Sequence[Sheet]) -> None:
    """Store the messages of submissions and their files; raises InputInvalid (attachments)."""
    files = [
        _decoded(one.order.attachments, AttachmentLimits.of_app(one.route.app_settings))
        for one in sheets
    ]
    rows = orjson.dumps([_row(one) for one in sheets]).decode()
    session.execute(_MESSAGES, {"app": app_id, "rows": rows})
    bound = [
        _bound(app_id, one.message_id, attached)
        for one, attached in zip(sheets, files, strict=True)
    ]
    _keep(session, [binds for each in bound for binds in each])


def _row(sheet: Sheet) -> dict[str, Any]:
    who, order = sheet.who, sheet.order
    return {
        "id": sheet.message_id,
        "version": sheet.version_id,
        "headers": order.headers,
        "tags": order.tags,
        "metadata": order.metadata,
        "recipients": sheet.recipients,
        "addressing": _addressing(order),
        "opens": order.tracking.opens,
        "clicks": order.tracking.clicks,
        "simulated": who.is_simulated or sheet.route.is_sandbox,
        "unsubscribe": order.unsubscribe,
        "key": who.idempotency_key,
    }


def _addressing(order: Shared) -> dict[str, Any]:
    """Return To and Cc as all recipients see them; in a batch each mail names its own."""
    to, cc = (order.to, order.cc) if isinstance(order, Email) else ((), ())
    return {
        "from_name": order.sender.name,
        "reply_to": [party.email for party in order.reply_to],
        "to": [_party(party) for party in to],
        "cc": [_party(party) for party in cc],
    }


def _party(party: Party) -> dict[str, str | None]:
    return {"email": party.email, "name": party.name}


Decoded = tuple[AttachedFile, bytes]


def _decoded(files: Sequence[File], limits: AttachmentLimits) -> list[Decoded]:
    found = []
    for place, file in enumerate(files):
        most, field = limits.total_bytes, f"attachments.{place}.content"
        raw = decoded(file.content, most_bytes=most, field=field)
        found.append((_attached(file, len(raw)), raw))
    check_attachments([file for file, _ in found], limits)
    return found


def _attached(file: File, size: int) -> AttachedFile:
    return AttachedFile(
        filename=file.filename,
        content_type=file.content_type,
        size_bytes=size,
        content_id=file.content_id,
        is_inline=file.inline,
    )


# The same bytes of the same type are stored once in an app. What is stored already is touched, or it
# could be deleted as a file nobody needs (app/submission/expiry) before the message that needs it is
# committed; a young one is not, or every message with the same logo would wait for the one before.
_TOUCH_FILE = """
UPDATE attachments SET created_at = now()
WHERE app_id = %(app)s AND content_hash = %(hash)s AND created_at < now() - interval '12 hours'"""
_STORE_FILE = """
INSERT INTO attachments (id, app_id, content_hash, content_type, size_bytes, content)
VALUES (%(id)s, %(app)s, %(hash)s, %(type)s, %(size)s, %(content)s)
ON CONFLICT (app_id, content_hash) DO NOTHING"""
_ATTACH = """
INSERT INTO message_attachments
    (message_id, position, app_id, attachment_id, filename, content_id, is_inline)
SELECT %(message)s, %(position)s, app_id, id, %(filename)s, %(content_id)s, %(inline)s
FROM attachments WHERE app_id = %(app)s AND content_hash = %(hash)s"""


def _keep(session: Session, files: Sequence[dict[str, Any]]) -> None:
    """Store files once each, in the order of their key: two transactions never wait crosswise."""
    for binds in sorted(files, key=itemgetter("hash")):
        session.execute(_TOUCH_FILE, binds)
        session.execute(_STORE_FILE, binds)
    for binds in files:
        session.execute(_ATTACH, binds)


def _bound(app_id: UUID, message_id: UUID, files: Sequence[Decoded]) -> list[dict[str, Any]]:
    return [
        {
            "id": new_id(),
            "app": app_id,
            "hash": hashlib.sha256(file.content_type.encode() + b"\0" + raw).digest(),
            "type": file.content_type,
            "size": file.size_bytes,
            "content": raw,
            "message": message_id,
            "position": position,
            "filename": file.filename,
            "content_id": file.content_id,
            "inline": file.is_inline,
        }
        for position, (file, raw) in enumerate(files)
    ]
