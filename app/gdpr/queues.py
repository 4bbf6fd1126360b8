"""What RabbitMQ still holds of an erased person, until it is gone: the second half of an erasure.

The first half is one transaction and knows the address; here only the keyed hash is left. Their mails
are stopped, so no message sends them: it leaves its work queue when a worker takes it, climbs the
retry ladder for an hour at most, or dies. Dead letters have no end of their own, so they are looked
through until HORIZON is over: the person is cut out of the row, and the message is replaced.
"""

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.db.session import Session, exclusive
from app.privacy import address_hash
from app.queueing import dead_letter_rows, redrive
from app.queueing import erasure as letters
from app.queueing.dead_letter_rows import Choice
from app.queueing.erasure import ErasedLetter, Scope
from app.queueing.steps import LADDER, SEND

# Every rung once, and a stage that works on its chunk for as long as it may before and after.
HORIZON = sum((rung.delay for rung in LADDER), 2 * SEND.time_limit)
LETTERS = "letters"  # in the receipt: [queue, id] of messages still to be replaced

_LOCK = 0x6D61_696C_6764_7072  # "mailgdpr": one look at a time
_AT_ONCE = 50
_EVER = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """An erasure whose messages are not known to be gone."""

    id: UUID
    app_id: UUID
    email_hash: bytes
    status: str
    receipt: dict[str, object]
    created_at: dt.datetime

    @property
    def scope(self) -> Scope:
        """What to look through: the first time, all that belongs to no app."""
        of_none = _EVER if self.status == "open" else self.created_at
        return Scope(app_id=self.app_id, since=self.created_at, of_none=of_none)

    @property
    def letters(self) -> list[ErasedLetter]:
        """The letters whose rows are erased and whose messages are not."""
        found = self.receipt.get(LETTERS)
        pairs = found if isinstance(found, list) else []
        return [ErasedLetter(queue=queue, id=UUID(letter_id)) for queue, letter_id in pairs]


_OPEN = """
SELECT id, app_id, email_hash, status, receipt, created_at FROM gdpr_requests
WHERE kind = 'erase' AND status IN ('open', 'running') ORDER BY id LIMIT %s"""
_NOTE = """
UPDATE gdpr_requests SET receipt = %(receipt)s, status = %(status)s,
  finished_at = CASE WHEN %(status)s = 'done' THEN now() END
WHERE id = %(id)s"""


def noted(found: Sequence[ErasedLetter]) -> list[tuple[str, str]]:
    """Return letters as a receipt holds them."""
    return [(letter.queue, str(letter.id)) for letter in found]


def sweep(session: Session, rabbitmq_url: str, pepper: str, now: dt.datetime) -> int:
    """Go on with the erasures under way; return how many are finished now.

    Raises DependencyUnavailable when RabbitMQ is needed and away; the next call goes on.
    """
    with exclusive(session, _LOCK) as is_ours:
        if not is_ours:
            return 0
        cursor = session.cursor(row_factory=class_row(_Open))
        under_way = cursor.execute(_OPEN, (_AT_ONCE,)).fetchall()
        return sum(_go_on(session, rabbitmq_url, pepper, each, now) for each in under_way)


def _go_on(
    session: Session, rabbitmq_url: str, pepper: str, request: _Open, now: dt.datetime
) -> bool:
    digest = bytes(request.email_hash)

    @functools.cache
    def is_person(address: str) -> bool:
        return address_hash(address, pepper) == digest

    with session.transaction():
        found = letters.erase_later(session, request.scope, is_person)
        dirty = [*request.letters, *found]
        total = int(str(request.receipt.get("dead_letters", 0))) + len(found)
        receipt = request.receipt | {"dead_letters": total, LETTERS: noted(dirty)}
        _write(session, request, receipt, "running")
    if dirty:
        _replace(session, rabbitmq_url, dirty)
    is_over = now >= request.created_at + HORIZON
    if dirty or is_over:
        clean = {name: value for name, value in receipt.items() if name != LETTERS}
        _write(session, request, clean, "done" if is_over else "running")
    return is_over


def _write(session: Session, request: _Open, receipt: dict[str, object], status: str) -> None:
    binds = {"id": request.id, "receipt": Jsonb(receipt), "status": status}
    session.execute(_NOTE, binds)


def _replace(session: Session, rabbitmq_url: str, dirty: Sequence[ErasedLetter]) -> None:
    """Let RabbitMQ hold what the rows say; a letter with nobody left, or decided, goes."""
    choice = Choice(ids=tuple(letter.id for letter in dirty))
    still = dead_letter_rows.open_letters(session, choice, limit=len(dirty))
    open_ids = {letter.id for letter in still}
    gone = [(letter.queue, letter.id) for letter in dirty if letter.id not in open_ids]
    with redrive.opened(rabbitmq_url) as channel:
        redrive.replace(channel, still, gone)
