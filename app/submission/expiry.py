"""What was asked for, when its mails are gone: messages, batches, and files no message carries."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from psycopg.rows import TupleRow

from app.db.expiry import Expiry
from app.db.session import Session
from app.lifecycle import retired
from app.lifecycle.retired import PLANNED, Book


def _count_planned(session: Session, gone: Sequence[TupleRow]) -> None:
    planned: Counter[Book] = Counter()
    for app_id, recipients in gone:
        planned[_book(app_id, PLANNED)] += recipients
    retired.add(session, planned)


def _close_batches(session: Session, gone: Sequence[TupleRow]) -> None:
    """Count the recipients of batches that failed: no mail ever stood for them."""
    retired.leave_batches(session, [row[0] for row in gone])
    failed: Counter[Book] = Counter()
    for _, app_id, rest in gone:
        if rest:
            failed[_book(app_id, "failed")] += rest
    retired.add(session, failed)


def _book(app_id: UUID, kind: str) -> Book:
    return Book(app_id=app_id, campaign_id=None, batch_id=None, kind=kind)


# Mails are made with their message, or later from its batch, whose mails are found by it whenever that
# was (index emails_batch). The day is for ids that stand on the two sides of the edge. Index emails_app.
MESSAGES = Expiry(
    table="messages",
    key="id",
    where="""t.id < %(before)s AND t.created_at < %(until)s::timestamptz - interval '1 day'
  AND NOT EXISTS (SELECT FROM emails e WHERE e.app_id = %(app)s AND e.id < %(before)s
                  AND e.message_id = t.id)
  AND NOT EXISTS (SELECT FROM batches b
                  WHERE b.message_id = t.id
                    AND (b.status IN ('accepted', 'expanding')
                         OR EXISTS (SELECT FROM emails e WHERE e.batch_id = b.id)))""",
    delete="DELETE FROM messages WHERE id = ANY(%(keys)s) RETURNING app_id, recipients",
    then=_count_planned,
)
BATCHES = Expiry(
    table="batches",
    key="id",
    where="""t.id < %(before)s AND t.message_id IS NULL AND t.status IN ('expanded', 'failed')""",
    delete="DELETE FROM batches WHERE id = ANY(%(keys)s) RETURNING id, app_id, accepted - expanded",
    then=_close_batches,
)
# Storing the same file again makes it young (app/submission/contents), so none goes that is wanted.
FILES = Expiry(
    table="attachments",
    key="id",
    where="""t.created_at < now() - interval '1 day'
  AND NOT EXISTS (SELECT FROM message_attachments m WHERE m.attachment_id = t.id)""",
    delete="DELETE FROM attachments WHERE id = ANY(%(keys)s) RETURNING id",
)
