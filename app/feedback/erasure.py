"""Erasing a person from what came back: answers to their mails lose who wrote them, and the words."""

from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session
from app.redaction import mention

_BLANK = """
UPDATE inbound_messages SET return_path = '', recipient = 'erased', subject = NULL,
  message_id_header = NULL, classification = '{}',
  status = CASE WHEN status = 'received' THEN 'ignored' ELSE status END
WHERE app_id = %(app)s AND (email_id = ANY(%(ids)s)
  OR concat_ws(' ', return_path, recipient, subject, classification) ~* %(mention)s)
RETURNING id"""


def erase(session: Session, app_id: UUID, email_ids: Sequence[UUID], address: str) -> list[UUID]:
    """Blank what answered these mails or names `address`; return the rows' ids."""
    binds = {"app": app_id, "ids": list(email_ids), "mention": mention(address)}
    return [row[0] for row in session.execute(_BLANK, binds).fetchall()]
