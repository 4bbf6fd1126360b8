"""Finding e-mails by what people know of them."""

from uuid import UUID

from app.db.session import Session

_TO_RECIPIENT = """
SELECT id FROM emails WHERE campaign_id = %s AND to_hash = %s ORDER BY id"""


def of_recipient(session: Session, campaign_id: UUID, to_hash: bytes) -> list[UUID]:
    """Return a recipient's e-mails of one campaign, the oldest first (index emails_campaign).

    Reads the campaign's part of the index: for people's questions, not for a stage.
    """
    return [row[0] for row in session.execute(_TO_RECIPIENT, (campaign_id, to_hash)).fetchall()]
