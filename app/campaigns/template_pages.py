"""Templates read page by page: what the API lists."""

from uuid import UUID

from app.campaigns.templates import SELECT, SELECT_DISTINCT, TemplateVersion, version_of
from app.db.session import Session

# By name; key templates_app_id_name_key.
_LATEST = f"""{SELECT_DISTINCT}
WHERE t.app_id = %(app)s AND (%(after)s::text IS NULL OR t.name > %(after)s)
ORDER BY t.name, v.version DESC LIMIT %(limit)s"""
# Newest first.
_VERSIONS = f"""{SELECT}
WHERE t.app_id = %(app)s AND t.name = %(name)s AND (%(after)s::uuid IS NULL OR v.id < %(after)s)
ORDER BY v.id DESC LIMIT %(limit)s"""


def list_latest(
    session: Session, app_id: UUID, *, after: str | None, limit: int
) -> list[TemplateVersion]:
    """Return the latest version of the app's templates behind the name `after`, by name."""
    binds = {"app": app_id, "after": after, "limit": limit}
    return [version_of(row) for row in session.execute(_LATEST, binds).fetchall()]


def list_versions(
    session: Session, app_id: UUID, name: str, *, after: UUID | None, limit: int
) -> list[TemplateVersion]:
    """Return the versions of a template below the id `after`, the newest first."""
    binds = {"app": app_id, "name": name, "after": after, "limit": limit}
    return [version_of(row) for row in session.execute(_VERSIONS, binds).fetchall()]
