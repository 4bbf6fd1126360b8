"""Who must not be written to: the suppression list, matched by keyed hash (TRUST.md).

An entry without an app holds for every app, one with `expires_at` until then. The address itself may
be erased; the hash stays, so an erased person stays suppressed.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from app.db.session import Session
from app.ids import new_id


class Reason(StrEnum):
    """Why an address is suppressed."""

    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCES = "soft_bounces"
    COMPLAINT = "complaint"
    UNSUBSCRIBE = "unsubscribe"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """One entry to be. `source` says where it came from: an e-mail's id, an import, a person."""

    app_id: UUID | None
    email_hash: bytes
    email: str | None
    reason: Reason
    source: str | None = None
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry as it stands; `email` is None when the person was erased."""

    id: UUID
    app_id: UUID | None
    email: str | None
    reason: str
    source: str | None
    expires_at: dt.datetime | None
    created_at: dt.datetime


def _exists(email_hash: str, app_id: str) -> str:
    # The key starts with the hash: one probe.
    return (
        f"EXISTS (SELECT FROM suppression_list x WHERE x.email_hash = {email_hash} "
        f"AND (x.app_id = {app_id} OR x.app_id IS NULL) "
        "AND (x.expires_at IS NULL OR x.expires_at > now()))"
    )


# Embedded by the stages, where e is a row of emails, and by campaigns, where l is one of leads.
SUPPRESSED_SQL = _exists("e.to_hash", "e.app_id")
LEAD_SUPPRESSED_SQL = _exists("l.email_hash", "l.app_id")

_ADD = """
INSERT INTO suppression_list AS s (id, app_id, email_hash, email, reason, source, expires_at)
SELECT * FROM unnest(%(ids)s::uuid[], %(apps)s::uuid[], %(hashes)s::bytea[], %(emails)s::text[],
                     %(reasons)s::text[], %(sources)s::text[], %(ends)s::timestamptz[])
ON CONFLICT ON CONSTRAINT suppression_list_key DO UPDATE
SET reason = excluded.reason, source = excluded.source, expires_at = excluded.expires_at,
    created_at = now()
WHERE s.expires_at IS NOT NULL AND (s.expires_at <= now() OR excluded.expires_at IS NULL)"""


def add_all(session: Session, entries: Iterable[Suppression]) -> int:
    """Suppress in bulk; return how many were not suppressed for good before.

    The first reason stays; an entry that has expired, or would, gives way to one that does not.
    """
    # In key order, so that two workers cannot wait for each other.
    ordered = sorted(entries, key=lambda entry: (entry.email_hash, str(entry.app_id)))
    if not ordered:
        return 0
    binds = {
        "ids": [new_id() for _ in ordered],
        "apps": [entry.app_id for entry in ordered],
        "hashes": [entry.email_hash for entry in ordered],
        "emails": [entry.email for entry in ordered],
        "reasons": [str(entry.reason) for entry in ordered],
        "sources": [entry.source for entry in ordered],
        "ends": [entry.expires_at for entry in ordered],
    }
    return session.execute(_ADD, binds).rowcount


def add(  # noqa: PLR0913 - the columns of the row, named by every caller
    session: Session,
    app_id: UUID | None,
    email_hash: bytes,
    *,
    email: str | None,
    reason: Reason,
    source: str | None = None,
) -> bool:
    """Suppress one address in an app (None: in every app); tell whether it was not before."""
    entry = Suppression(
        app_id=app_id, email_hash=email_hash, email=email, reason=reason, source=source
    )
    return add_all(session, (entry,)) == 1


def remove(session: Session, app_id: UUID | None, email_hash: bytes) -> bool:
    """Lift the entry of exactly this app (None: the one for every app); tell whether it existed."""
    statement = (
        "DELETE FROM suppression_list WHERE email_hash = %s AND app_id IS NOT DISTINCT FROM %s"
    )
    return session.execute(statement, (email_hash, app_id)).rowcount > 0


def suppressed(session: Session, app_id: UUID, hashes: Sequence[bytes]) -> set[bytes]:
    """Return those of `hashes` this app must not write to (key suppression_list_key)."""
    rows = session.execute(
        "SELECT email_hash FROM suppression_list "
        "WHERE email_hash = ANY(%s) AND (app_id = %s OR app_id IS NULL) "
        "AND (expires_at IS NULL OR expires_at > now())",
        (list(hashes), app_id),
    ).fetchall()
    return {bytes(row[0]) for row in rows}


def is_suppressed(session: Session, app_id: UUID, email_hash: bytes) -> bool:
    """Tell whether this app must not write to the address."""
    return bool(suppressed(session, app_id, (email_hash,)))


_LIST = """
SELECT id, app_id, email, reason, source, expires_at, created_at FROM suppression_list
WHERE app_id IS NOT DISTINCT FROM %(app)s
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(hash)s::bytea IS NULL OR email_hash = %(hash)s)
  AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""


def list_page(session: Session, app_id: UUID | None, **choice: Any) -> list[Entry]:
    """Return entries of exactly this app (None: those for every app), the newest first.

    `choice` has limit, and may have after (an id), reason and email_hash; index
    suppression_list_app_id_id.
    """
    binds = {"app": app_id, "reason": None, "email_hash": None, "after": None} | choice
    binds["hash"] = binds.pop("email_hash")
    return session.cursor(row_factory=class_row(Entry)).execute(_LIST, binds).fetchall()


_ERASE = """
UPDATE suppression_list SET email = NULL, source = 'erased'
WHERE app_id = %s AND email_hash = %s AND email IS NOT NULL
RETURNING id"""


def erase(session: Session, app_id: UUID, email_hash: bytes) -> dict[str, int]:
    """Keep a person suppressed by the hash alone, for good; return rows by table."""
    entry = Suppression(
        app_id=app_id,
        email_hash=email_hash,
        email=None,
        reason=Reason.MANUAL,
        source="erased",
    )
    add_all(session, (entry,))
    blank = session.execute(_ERASE, (app_id, email_hash)).fetchall()
    return {"suppression_list": len(blank)}
