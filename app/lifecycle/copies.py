"""Copies of what was sent, for apps that keep it: readable until their retention ends."""

from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session

_KEEP = """
INSERT INTO inbox_message_content (ref_id, app_id, raw)
SELECT ref_id, %(app)s, raw FROM unnest(%(ids)b::uuid[], %(raws)b::bytea[]) AS r(ref_id, raw)
ON CONFLICT (ref_id) DO UPDATE SET raw = excluded.raw"""
_ASSIGN = "UPDATE inbox_message_content SET app_id = %s WHERE ref_id = %s"


def keep(session: Session, app_id: UUID | None, copies: Sequence[tuple[UUID, bytes]]) -> None:
    """Store (e-mail or inbound message, its bytes); a later copy replaces an earlier one."""
    if copies:
        ids, raws = zip(*sorted(copies), strict=True)
        session.execute(_KEEP, {"app": app_id, "ids": list(ids), "raws": list(raws)})


def assign(session: Session, ref_id: UUID, app_id: UUID) -> None:
    """Give a copy that was kept for nobody to the app it turned out to be of."""
    session.execute(_ASSIGN, (app_id, ref_id))
