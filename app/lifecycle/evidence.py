"""What is learnt of a mail after it was sent: it arrived, it came back, somebody complained."""

from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session
from app.lifecycle.events import Delta, count
from app.lifecycle.states import SOURCES, State

_LEARN = """
UPDATE emails SET status = %(target)s
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND status = ANY(%(sources)s)
RETURNING id, app_id, queue_id, campaign_id, step_id, account_id"""


def learn(session: Session, ids: Sequence[UUID], target: State) -> set[UUID]:
    """Move sent e-mails to what is known of them now and count them; return those that moved."""
    if not ids:
        return set()
    binds = {
        "ids": list(ids),
        "low": min(ids),
        "high": max(ids),
        "target": target,
        "sources": [str(source) for source in SOURCES[target]],
    }
    rows = session.execute(_LEARN, binds).fetchall()
    count(
        session,
        (
            Delta(
                app_id=row[1],
                queue_id=row[2],
                campaign_id=row[3],
                step_id=row[4],
                account_id=row[5],
                kind=str(target),
            )
            for row in rows
        ),
    )
    return {row[0] for row in rows}
