"""Erasing a person from recurring jobs: one that writes to them stops, and names them no more."""

import re
from uuid import UUID

from app.db.session import Session

_BLANK = """
UPDATE scheduled_jobs SET is_enabled = false, next_run_at = NULL,
  action = regexp_replace(action::text, %(pattern)s, 'erased@erased.invalid', 'gi')::jsonb
WHERE app_id = %(app)s AND action::text ~* %(pattern)s
RETURNING id"""


def erase(session: Session, app_id: UUID, address: str) -> dict[str, int]:
    """Take an address (lower case) out of the app's jobs; return rows by table."""
    # A whole address, not the end of a longer one; a JSON escape (\\n) before it is no part of it.
    start, end = r"(?:(?<=\\[bfnrt])|(?<![a-z0-9._%+-]))", r"(?![a-z0-9-]|\.[a-z0-9])"
    binds = {"app": app_id, "pattern": start + re.escape(address) + end}
    return {"scheduled_jobs": len(session.execute(_BLANK, binds).fetchall())}
