"""What was just submitted leaves at once, not with the clock's next tick.

A thread of the web process releases the mails of accounts that requests named after their commit,
by the same limits as every pass, and publishes them. With nothing under way it starts at once;
while it works, requests only add to the next round, so that under load one round carries many
mails. Losing a call does no harm: the row is due, and the clock's pass finds it.
"""

import contextlib
import os
import threading
from uuid import UUID

from actors import runtime, schedule
from app.clock import thread_cpu_s
from app.config import Settings
from app.db.session import CONNECTION_LOST, Session, close_thread_session, thread_session
from app.errors import DependencyUnavailable
from app.log import Event, logger
from app.queueing.messages import encode
from app.queueing.payloads import TickPayload
from app.queueing.steps import SCHEDULE
from app.scheduling import due

# After a round the thread rests what it computed times the mails it released, at most so many: a mail
# that came alone is followed at once by the next, under load the process is for requests.
_MOST_PAUSES = 12
_AFTER_TROUBLE_S = 1.0
_MOST = 200  # mails of a round: more than that is the work of the schedule stage


class Relay:
    """Releases what requests submitted; one for each web process, safe between threads and forks."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._rung, self._stopped = threading.Event(), threading.Event()
        self._accounts: set[UUID] = set()
        self._wants_pass = False
        self._pid: int | None = None
        self._thread: threading.Thread | None = None

    def wake(self, account_id: UUID | None) -> None:
        """Release an account's due mails soon; None asks the schedule stage for a whole pass.

        Returns at once and raises nothing.
        """
        with self._lock:
            if not self._is_running():
                with contextlib.suppress(
                    RuntimeError
                ):  # no thread to be had: the clock finds the rows
                    self._start()
            if account_id is None:
                self._wants_pass = True
            else:
                self._accounts.add(account_id)
        self._rung.set()

    def close(self) -> None:
        """End the thread after its round; the next call starts another."""
        thread, self._thread, self._pid = self._thread, None, None
        self._stopped.set()
        self._rung.set()
        if thread is not None:
            thread.join(10)

    def _is_running(self) -> bool:
        is_ours = self._pid == os.getpid()
        return is_ours and self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._rung, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._rung.wait() and not self._stopped.is_set():
            began, released = thread_cpu_s(), 0
            try:
                released = self._round()
            except (DependencyUnavailable, *CONNECTION_LOST) as error:
                logger().warning(Event.DEPENDENCY_LOST, what="relay", why=str(error))
                close_thread_session()
                self._stopped.wait(_AFTER_TROUBLE_S)
            self._stopped.wait((thread_cpu_s() - began) * min(released, _MOST_PAUSES))
        close_thread_session()

    def _round(self) -> int:
        """Release for whom requests named since the last round; return how many mails."""
        self._rung.clear()
        with self._lock:
            accounts, self._accounts = self._accounts, set()
            wants_pass, self._wants_pass = self._wants_pass, False
        if wants_pass:
            payload = TickPayload(reason="submitted")
            runtime.publisher().publish([encode("schedule_tick", SCHEDULE.queue, payload)])
        if not accounts:
            return 0
        return release_now(thread_session(self._config.database_url), self._config, accounts)


def release_now(session: Session, config: Settings, account_ids: set[UUID]) -> int:
    """Release due mails of these accounts, at most 200, as limits allow; return how many.

    Raises DependencyUnavailable.
    """
    if runtime.guard().closed(session) is not None:
        return 0
    accounts = due.accounts_among(session, sorted(account_ids))
    done = schedule.release_from(session, config, accounts, _MOST)
    return sum(chunk.size for chunk in done.chunks)
