"""SIGSTOP of a worker inside a transaction: PostgreSQL takes the rows from it after a while (30 s by
default, shorter here), others go on, and what the worker says when it is resumed is recorded once.
"""

import contextlib
import signal
import threading
import time

import pytest

from tests.failure.office import OK, Step
from tests.failure.stand import IDLE_IN_TRANSACTION_S

_ALL_BUT_SEND = ("schedule", "maintenance", "assemble.high", "assemble.normal", "assemble.low")
_PATIENCE_S = IDLE_IN_TRANSACTION_S + 60


@pytest.fixture
def lock(stand):
    with contextlib.closing(stand.new_session()) as session:
        session.execute("SET idle_in_transaction_session_timeout = 0")
        yield session


def _lock_the_row(lock) -> None:
    lock.execute("BEGIN")
    lock.execute("SELECT FROM emails FOR UPDATE")


def _freeze_inside_the_transaction(stand, lock) -> None:
    """Stop the worker while its statement waits for our lock, then let the statement pass."""
    stand.until(lambda: stand.ask("SELECT pid FROM pg_locks WHERE NOT granted"), 60)
    stand.signal("worker", signal.SIGSTOP)
    lock.execute("ROLLBACK")
    stand.until(stand.idle_transactions, 60)


def _others_go_on(stand) -> None:
    stand.start_workers("successor")
    others = stand.plan(20, address="other{n}@example{k}.org").addresses

    def have_arrived() -> bool:
        stand.pass_time()  # messages the frozen worker had fetched are published again
        time.sleep(0.3)
        return all(stand.office.accepted[address] for address in others)

    stand.until(have_arrived, 120)
    stand.until(lambda: not stand.idle_transactions(), _PATIENCE_S)


def test_frozen_inside_the_claim_another_worker_sends_the_mail(stand, promise, lock) -> None:
    stand.plan(1)
    stand.start_workers("planner", queues=_ALL_BUT_SEND)
    stand.start_clock()
    stand.until(lambda: stand.statuses() == {"queued": 1}, 60)
    _lock_the_row(lock)
    stand.start_workers("worker", queues=("send.high", "send.normal", "send.low"))
    # The first claim is a statement of its own; the one after a lost connection a transaction.
    stand.until(stand.cut_connections_that_wait, 60)
    _freeze_inside_the_transaction(stand, lock)
    _others_go_on(stand)
    stand.finish(60)
    stand.signal("worker", signal.SIGCONT)
    stand.plan(20, address="later{n}@example{k}.net")  # time for the thawed one to do harm
    stand.finish(60)
    promise(stand)
    assert stand.statuses() == {"sent": 41}


def test_frozen_inside_the_outcome_the_late_outcome_is_recorded(stand, promise, lock) -> None:
    is_locked = threading.Event()

    def lock_at_the_dot(visit) -> bytes:
        visit.keep()
        _lock_the_row(lock)
        stand.office.behave()
        is_locked.set()
        return OK

    stand.office.rules[Step.DOT] = lock_at_the_dot
    stand.plan(1)
    stand.start_workers("worker")
    stand.start_clock()
    assert is_locked.wait(60)
    _freeze_inside_the_transaction(stand, lock)
    _others_go_on(stand)
    assert stand.statuses() == {"sent": 20, "sending": 1}
    stand.signal("worker", signal.SIGCONT)
    stand.until(lambda: stand.statuses() == {"sent": 21}, 60)
    promise(stand)
