"""Encoded attachments, cached by bytes: no file travels through RabbitMQ, none is encoded per mail.

Attachments are immutable and stored once per app and content, so a process encodes the price list
of a batch once.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session
from app.errors import NotFound
from app.mail.attachments import encoded

_MOST_BYTES = 64 * 1_048_576


class FileCache:
    """At most so many bytes of encoded files, those used last; shared by threads."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._held: OrderedDict[UUID, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def bodies(self, session: Session, app_id: UUID, ids: Sequence[UUID]) -> list[bytes]:
        """Return the base64 bodies of these attachments, in order; raises NotFound."""
        if not ids:
            return []
        with self._lock:
            found = {one: self._held[one] for one in ids if one in self._held}
            for one in found:
                self._held.move_to_end(one)
        for one in dict.fromkeys(ids):
            if one not in found:
                found[one] = encoded(_content(session, app_id, one))
                self._keep(one, found[one])
        return [found[one] for one in ids]

    def _keep(self, attachment_id: UUID, body: bytes) -> None:
        with self._lock:
            if len(body) > self._most or attachment_id in self._held:
                return
            self._held[attachment_id] = body
            self._bytes += len(body)
            while self._bytes > self._most:
                _, dropped = self._held.popitem(last=False)
                self._bytes -= len(dropped)


def _content(session: Session, app_id: UUID, attachment_id: UUID) -> bytes:
    """Return one file's bytes, in binary: as text PostgreSQL would send twice as many."""
    row = (
        session.cursor(binary=True)
        .execute(
            "SELECT content FROM attachments WHERE id = %s AND app_id = %s",
            (attachment_id, app_id),
        )
        .fetchone()
    )
    if row is None:
        raise NotFound(
            f"Attachment {attachment_id} is gone.",
            why="It was deleted while its mail was on the way.",
            fix="Cancel the mail, or submit it again.",
        )
    content: bytes = row[0]
    return content


FILES = FileCache()
