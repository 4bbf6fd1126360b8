"""E-mails that come at the same moment share a transaction: one commit for all of them.

No timer gathers them. The first of an app is stored at once, by the thread that brought it; those
that come meanwhile wait and are stored together by one of theirs when it is done. Under load that
is a dozen mails for the round trips of one; alone a mail waits for nobody.

Each is answered after the commit that keeps it. Where one is refused, or breaks the statement of
all, each is stored by itself, so that it stops nobody but its own.
"""

import threading
from collections.abc import Callable, Sequence
from uuid import UUID

import psycopg

from app.db.session import CONNECTION_LOST, Session, tenant_transaction
from app.errors import DependencyUnavailable, MailqueueError
from app.submission.accept import Accepted, Submission, accept_all
from app.submission.desk import Desk

_MOST = 100  # submissions of one transaction


class _Ticket:
    """One submission that waits: answered, refused, or told to lead the others."""

    __slots__ = ("answer", "error", "leads", "submission", "turn")

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.answer: Accepted | None = None
        self.error: Exception | None = None
        self.leads = False
        self.turn = threading.Event()


class Crowd:
    """Who submits at this moment, by app; one for each process, safe between threads.

    `open_session` returns the session of the thread that asks.
    """

    def __init__(self, open_session: Callable[[], Session], desk: Desk) -> None:
        self._open_session = open_session
        self._desk = desk
        self._lock = threading.Lock()
        self._waiting: dict[UUID, list[_Ticket]] = {}  # a key: somebody stores for this app

    def take(self, submission: Submission) -> Accepted:
        """Store one e-mail, with those of its app that come meanwhile; returns after the commit.

        Raises what accept_all raises, and what says that PostgreSQL is away: then it may have been
        kept or not.
        """
        ticket, app_id = _Ticket(submission), submission.who.app_id
        if not self._is_first(app_id, ticket):
            ticket.turn.wait()
        if ticket.leads:
            self._lead(app_id, ticket)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.answer is not None  # noqa: S101 - one of the two is set before the turn
        return ticket.answer

    def _is_first(self, app_id: UUID, ticket: _Ticket) -> bool:
        with self._lock:
            others = self._waiting.get(app_id)
            if others is None:
                self._waiting[app_id] = []
                ticket.leads = True
            else:
                others.append(ticket)
            return ticket.leads

    def _lead(self, app_id: UUID, ticket: _Ticket) -> None:
        """Store the leader's submission and all that wait; hand the lead on."""
        with self._lock:
            waiting = self._waiting[app_id]
            group, self._waiting[app_id] = [ticket, *waiting[:_MOST]], waiting[_MOST:]
        try:
            self._store(app_id, group)
        finally:
            with self._lock:
                waiting = self._waiting[app_id]
                if waiting:
                    heir = waiting.pop(0)
                    heir.leads = True
                    group.append(heir)
                else:
                    del self._waiting[app_id]
            for each in group:
                each.turn.set()

    def _store(self, app_id: UUID, group: Sequence[_Ticket]) -> None:
        """Store a group in one transaction, or, where that is refused, each in its own."""
        try:
            session = self._open_session()
            with tenant_transaction(session, app_id):
                answers = accept_all(session, [each.submission for each in group], self._desk)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it raised
            if len(group) == 1 or not _may_be_of_one(error):
                for each in group:
                    each.error = error
            else:
                for each in group:
                    self._store(app_id, [each])
        else:
            for each, answer in zip(group, answers, strict=True):
                each.answer = answer


def _may_be_of_one(error: Exception) -> bool:
    """Tell whether one of a group may be to blame, and surely nothing of the group was kept."""
    if isinstance(error, (*CONNECTION_LOST, DependencyUnavailable)):
        return False
    return isinstance(error, (MailqueueError, psycopg.Error))
