"""Campaigns read by id and page by page: what the API shows."""

from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from app.campaigns.campaigns import SELECT, Campaign
from app.db.session import Session
from app.errors import NotFound

_PAGE = f"""{SELECT}
AND (%(status)s::text IS NULL OR c.status = %(status)s)
AND (%(after)s::uuid IS NULL OR c.id < %(after)s) ORDER BY c.id DESC LIMIT %(limit)s"""


def by_id(session: Session, app_id: UUID, campaign_id: UUID) -> Campaign:
    """Return a campaign of the app by its id; raises NotFound."""
    cursor = session.cursor(row_factory=class_row(Campaign))
    binds = {"app": app_id, "id": campaign_id}
    found = cursor.execute(f"{SELECT} AND c.id = %(id)s", binds).fetchone()
    if found is None:
        raise NotFound(f"There is no campaign {campaign_id}.", field="campaign_id")
    return found


def list_page(session: Session, app_id: UUID, **choice: Any) -> list[Campaign]:
    """Return campaigns of the app, the newest first: `status`, `after` an id, `limit`."""
    cursor = session.cursor(row_factory=class_row(Campaign))
    return cursor.execute(_PAGE, {"app": app_id} | choice).fetchall()
