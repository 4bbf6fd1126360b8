"""Erasing a person's own letters: one-off bodies that were sent to nobody else."""

from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session

# The hash goes as well, or the same body sent to somebody else would find the blank one.
_BLANK = """
UPDATE template_versions v SET subject = 'erased', html = '', body_text = 'erased', variables = '{}',
  content_hash = uuid_send(gen_random_uuid())
WHERE v.template_id IS NULL AND v.app_id = %(app)s AND v.body_text <> 'erased'
  AND v.id = ANY(ARRAY(SELECT template_version_id FROM emails WHERE id = ANY(%(ids)s)))
  AND NOT EXISTS (SELECT FROM emails o
                  WHERE o.app_id = v.app_id AND o.template_version_id = v.id AND o.to_hash <> %(hash)s)
  AND NOT EXISTS (SELECT FROM batches b JOIN messages m ON m.id = b.message_id
                  WHERE m.template_version_id = v.id AND b.status IN ('accepted', 'expanding'))
RETURNING id"""
_LINKS = "DELETE FROM tracking_links WHERE template_version_id = ANY(%s)"


def erase(
    session: Session, app_id: UUID, email_ids: Sequence[UUID], to_hash: bytes
) -> dict[str, int]:
    """Blank the bodies that only these mails carried, with their links; return rows by table."""
    binds = {"app": app_id, "ids": list(email_ids), "hash": to_hash}
    gone = [row[0] for row in session.execute(_BLANK, binds).fetchall()]
    session.execute(_LINKS, (gone,))
    return {"template_versions": len(gone)}
