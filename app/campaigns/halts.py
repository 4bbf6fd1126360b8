"""What the stages do with mails of a campaign that was paused or cancelled after their release."""

from collections.abc import Sequence
from uuid import UUID

from app.campaigns.campaigns import Status
from app.db.session import Session
from app.lifecycle import chunks, transitions
from app.lifecycle.states import State

_HALTED = "SELECT status FROM campaigns WHERE id = %s AND status IN ('paused', 'cancelled')"


def halt(session: Session, campaign_id: UUID, chunk_id: UUID, email_ids: Sequence[UUID]) -> bool:
    """Keep queued mails of a halted campaign from going on; tell whether it is halted.

    A pause parks them. A cancel ends them: what was being sent when the campaign was cancelled may
    have been deferred since.
    """
    if session.execute(_HALTED, (campaign_id,)).fetchone() is None:
        return False
    with session.transaction():
        # A resume waits for this lock and then finds what is parked here; nobody else would.
        row = session.execute(f"{_HALTED} FOR SHARE", (campaign_id,)).fetchone()
        if row is None:
            return False
        chunks.settle(session, chunk_id, _moved(session, Status(row[0]), email_ids))
    return True


def _moved(session: Session, status: Status, email_ids: Sequence[UUID]) -> int:
    if status is Status.PAUSED:
        reason = "campaign paused"
        return transitions.hold_back(session, email_ids, due_at="infinity", reason=reason)
    stops = [(email_id, "campaign cancelled") for email_id in email_ids]
    return transitions.stop(session, stops, State.CANCELLED)
