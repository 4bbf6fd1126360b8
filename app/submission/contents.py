"""The row all mails of one submission share: what they say, to whom they are addressed, their files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.db.session import Session
from app.ids import new_id
from app.mail.attachments import AttachedFile, AttachmentLimits, check_attachments, decoded
from app.submission.desk import Submitter
from app.submission.route import Route
from app.submission.schemas import Email, File, Party, Shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a message is made of besides its order. `recipients` = the ledger's planned."""

    message_id: UUID
    version_id: UUID
    recipients: int


_MESSAGE = """
INSERT INTO messages
    (id, app_id, template_version_id, headers, tags, metadata, recipients, addressing,
     tracks_opens, tracks_clicks, is_simulated, unsubscribe, idempotency_key)
VALUES
    (%(id)s, %(app)s, %(version)s, %(headers)s, %(tags)s, %(metadata)s, %(recipients)s,
     %(addressing)s, %(opens)s, %(clicks)s, %(simulated)s, %(unsubscribe)s, %(key)s)"""


def store(session: Session, who: Submitter, order: Shared, route: Route, sheet: Sheet) -> None:
    """Store the message of a submission and its files; raises InputInvalid (attachments)."""
    files = _decoded(order.attachments, AttachmentLimits.of_app(route.app_settings))
    session.execute(
        _MESSAGE,
        {
            "id": sheet.message_id,
            "app": who.app_id,
            "version": sheet.version_id,
            "headers": Jsonb(order.headers),
            "tags": list(order.tags),
            "metadata": Jsonb(order.metadata),
            "recipients": sheet.recipients,
            "addressing": Jsonb(_addressing(order)),
            "opens": order.tracking.opens,
            "clicks": order.tracking.clicks,
            "simulated": route.is_simulated,
            "unsubscribe": order.unsubscribe,
            "key": who.idempotency_key,
        },
    )
    if files:
        _attach(session, who.app_id, sheet.message_id, files)


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


# The same bytes of the same type are stored once in an app.
_STORE_FILE = """
INSERT INTO attachments (id, app_id, content_hash, content_type, size_bytes, content)
VALUES (%(id)s, %(app)s, %(hash)s, %(type)s, %(size)s, %(content)s)
ON CONFLICT (app_id, content_hash) DO NOTHING"""
_ATTACH = """
INSERT INTO message_attachments
    (message_id, position, app_id, attachment_id, filename, content_id, is_inline)
SELECT %(message)s, %(position)s, app_id, id, %(filename)s, %(content_id)s, %(inline)s
FROM attachments WHERE app_id = %(app)s AND content_hash = %(hash)s"""


def _attach(session: Session, app_id: UUID, message_id: UUID, files: Sequence[Decoded]) -> None:
    for position, (file, raw) in enumerate(files):
        digest = hashlib.sha256(file.content_type.encode() + b"\0" + raw).digest()
        binds = {
            "id": new_id(),
            "app": app_id,
            "hash": digest,
            "type": file.content_type,
            "size": file.size_bytes,
            "content": raw,
            "message": message_id,
            "position": position,
            "filename": file.filename,
            "content_id": file.content_id,
            "inline": file.is_inline,
        }
        session.execute(_STORE_FILE, binds)
        session.execute(_ATTACH, binds)
