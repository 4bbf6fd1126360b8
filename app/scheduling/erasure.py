"""Erasing a person from recurring jobs: one that writes to them stops, and names them no more."""

import re
from uuid import UUID

from app.db.session import Session

_BLANK = """
UPDATE scheduled_jobs SET is_enabled = false, next_run_at = NULL,
  action = regexp_replace(action::text, %(pattern)s, 'erased@erased.invalid', 'gi')::jsonb
WHERE app_id = %(app)s AND position(%(address)s IN lower(action::text)) > 0
RETURNING id"""


def erase(session: Session, app_id: UUID, address: str) -> dict[str, int]:
    """Take an address (lower case) out of the app's jobs; return rows by table."""
    binds = {"app": app_id, "address": address, "pattern": re.escape(address)}
    return {"scheduled_jobs": len(session.execute(_BLANK, binds).fetchall())}
