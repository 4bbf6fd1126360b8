"""Erasing a person's own letters: one-off bodies that were sent to nobody else."""

from collections.abc import Sequence
from uuid import UUID

from app.assembly.expiry import BLANK_SQL, IS_WHOLE_SQL, forget_links
from app.db.session import Session

_BLANK = f"""
UPDATE template_versions v SET {BLANK_SQL}
WHERE v.template_id IS NULL AND v.app_id = %(app)s AND {IS_WHOLE_SQL}
  AND v.id = ANY(ARRAY(SELECT template_version_id FROM emails WHERE id = ANY(%(ids)s)))
  AND NOT EXISTS (SELECT FROM emails o
                  WHERE o.app_id = v.app_id AND o.template_version_id = v.id AND o.to_hash <> %(hash)s)
  AND NOT EXISTS (SELECT FROM batches b JOIN messages m ON m.id = b.message_id
                  WHERE m.template_version_id = v.id AND b.status IN ('accepted', 'expanding'))
RETURNING id"""  # noqa: S608 - constants


def erase(
    session: Session, app_id: UUID, email_ids: Sequence[UUID], to_hash: bytes
) -> dict[str, int]:
    """Blank the bodies that only these mails carried, with their links; return rows by table."""
    binds = {"app": app_id, "ids": list(email_ids), "hash": to_hash}
    gone = session.execute(_BLANK, binds).fetchall()
    forget_links(session, gone)
    return {"template_versions": len(gone)}
