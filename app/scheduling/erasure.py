"""Erasing a person from recurring jobs: one that writes to them stops, and names them no more."""

from uuid import UUID

from app.db.session import Session
from app.redaction import mention

_BLANK = """
UPDATE scheduled_jobs SET is_enabled = false, next_run_at = NULL,
  action = regexp_replace(action::text, %(pattern)s, 'erased@erased.invalid', 'gi')::jsonb
WHERE app_id = %(app)s AND action::text ~* %(pattern)s
RETURNING id"""


def erase(session: Session, app_id: UUID, address: str) -> dict[str, int]:
    """Take an address out of the app's jobs; return rows by table."""
    binds = {"app": app_id, "pattern": mention(address)}
    return {"scheduled_jobs": len(session.execute(_BLANK, binds).fetchall())}
