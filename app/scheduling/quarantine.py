"""May anything be sent from this database? Asked by each pass, and by each send every two seconds.

Joins the send epoch (app/lifecycle/epoch) with what hosts and Redis remember of it.
"""

import datetime as dt
from collections.abc import Sequence

from app.clock import monotonic_s
from app.db.session import Session
from app.lifecycle import epoch as epochs
from app.lifecycle.epoch import Epoch, Mark
from app.log import Event, logger
from app.policy.mirrors import Mirror

_FRESH_S = 2.0
_MOST_ANSWERS = 64
# Mail that is queued without a pass (transactional) must leave a trace in the epoch, too.
_ADVANCE_AFTER = dt.timedelta(seconds=10)


class Guard:
    """Tells whether sending is quarantined; one for each process, safe between threads."""

    def __init__(self, mirrors: Sequence[Mirror]) -> None:
        self._mirrors = mirrors
        self._answers: dict[int, tuple[float, str | None]] = {}
        self._told: Mark | None = None

    def closed(self, session: Session) -> str | None:
        """Return why nothing may be sent, or None; the answer is at most two seconds old.

        It is asked anew on a new connection: behind that there may be another database.
        """
        backend, now = session.info.backend_pid, monotonic_s()
        found = self._answers.get(backend)
        if found is not None and now - found[0] < _FRESH_S:
            return found[1]
        if len(self._answers) >= _MOST_ANSWERS:
            self._answers.clear()
        why = self.look(session)
        self._answers[backend] = (now, why)
        return why

    def enter(self, session: Session) -> str | None:
        """Ask for a pass: as `look`, and leave a trace when nothing was released for a while."""
        why = self.look(session)
        epoch = None if why else epochs.read(session)
        if epoch is not None and epoch.age > _ADVANCE_AFTER:
            self.remember(epochs.advance(session))
        return why

    def look(self, session: Session) -> str | None:
        """Return why nothing may be sent, or None; quarantine the database at the first doubt."""
        epoch = epochs.read(session)
        if epoch is None:
            epochs.begin(session)
            return None
        if epoch.reason is not None:
            return epoch.reason
        why = self._doubt(session, epoch)
        if why is None:
            self.remember(epoch.mark)
            return None
        if epochs.quarantine(session, epoch.mark, why):
            logger().error(Event.SENDING_QUARANTINED, reason=why)
        return why

    def remember(self, mark: Mark | None) -> None:
        """Tell the mirrors how far the database is, after the commit."""
        if mark is None or mark == self._told:
            return
        for mirror in self._mirrors:
            mirror.remember(mark.lineage, mark.counter)
        self._told = mark

    def close(self) -> None:
        """Let go of the mirrors."""
        for mirror in self._mirrors:
            mirror.close()

    def _doubt(self, session: Session, epoch: Epoch) -> str | None:
        """Ask the mirrors first and the database after them, so that no release is in between."""
        lineage = epoch.mark.lineage
        remembered = {m.witness: m.remembered(lineage) for m in self._mirrors}
        if not epochs.doubt(epoch, remembered):
            return None
        again = epochs.read(session)
        return None if again is None else epochs.doubt(again, remembered)
