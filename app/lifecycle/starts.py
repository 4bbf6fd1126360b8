"""How often work on a queued e-mail was begun without a word of what became of it.

The count is written before the work and taken back after it, so what is left of it are workers that
died in between. The claim of the send stage counts in the same column; an outcome resets it.
"""

from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session

_BEGIN = """
UPDATE emails SET starts = starts + 1
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status = 'queued'
RETURNING id, starts"""

_END = """
UPDATE emails SET starts = greatest(starts - 1, 0)
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status = 'queued'"""


def begin(session: Session, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Count a start of these; return the starts of those that are queued (primary key)."""
    binds = {"ids": list(ids), "low": min(ids), "high": max(ids)}
    return dict(session.execute(_BEGIN, binds).fetchall())


def end(session: Session, ids: Sequence[UUID]) -> None:
    """Take back the start of those that are still queued: the worker lives."""
    session.execute(_END, {"ids": list(ids), "low": min(ids), "high": max(ids)})
