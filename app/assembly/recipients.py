"""Whom a chunk goes to: the rows that still wait, with what decides whether they go at all."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from app.db.session import Session
from app.policy.suppression import SUPPRESSED_SQL


class Waiting(NamedTuple):
    """A queued e-mail, a row of `_WAITING`: its recipient, its variables, and whether it may not be written to.

    `is_late`: its sending window has closed or it has expired since it was released.
    """

    email_id: UUID
    to_email: str
    to_name: str | None
    to_domain: str
    variables: Mapping[str, Any]
    is_suppressed: bool
    is_late: bool


_WAITING = f"""
SELECT e.id, e.to_email, e.to_name, e.to_domain, e.variables, {SUPPRESSED_SQL},
       coalesce(least(e.window_closes_at, e.expires_at) <= now(), false)
FROM emails e
WHERE e.id = ANY(%(ids)b) AND e.id BETWEEN %(low)b AND %(high)b AND e.status = 'queued'"""  # noqa: S608 - constants


def waiting(session: Session, email_ids: Sequence[UUID]) -> list[Waiting]:
    """Return those of `email_ids` that are queued (primary key); others were stopped or sent."""
    binds = {"ids": list(email_ids), "low": min(email_ids), "high": max(email_ids)}
    return list(map(Waiting._make, session.execute(_WAITING, binds).fetchall()))
