"""kill -9 of a worker at each step of one mail. The office, a row lock or a wire stops the worker
there from outside, the test kills it, a new worker takes over.
"""

import threading

import pytest

from app.queueing.steps import ASSEMBLE, SEND
from tests.failure.office import OK, Gate, Pit, Step
from tests.failure.wire import Wire

ADDRESS = "lead0@example0.com"


def _kill_and_go_on(stand) -> None:
    stand.kill("worker")
    stand.office.behave()
    stand.start_workers("successor")
    stand.finish(30)


def test_killed_when_the_mail_is_claimed(stand, promise) -> None:
    pit = Pit()
    campaign = stand.plan(1)
    stand.ask("UPDATE smtp_configs SET port = %s", (pit.port,))
    stand.start_workers("worker")
    stand.start_clock()
    stand.until(lambda: stand.statuses() == {"sending": 1})
    stand.kill("worker")
    pit.close()
    stand.ask(
        "UPDATE smtp_configs SET port = %s WHERE id = %s",
        (stand.office.port, campaign.smtp_config_id),
    )
    stand.start_workers("successor")
    stand.finish(30)
    promise(stand)
    assert stand.statuses() == {"sent": 1}


@pytest.mark.parametrize("step", [Step.GREETING, Step.RCPT, Step.DATA])
def test_killed_before_the_final_dot(stand, promise, step) -> None:
    gate = stand.office.rules[step] = Gate()
    stand.plan(1)
    stand.start_workers("worker")
    stand.start_clock()
    assert gate.reached.wait(60)
    _kill_and_go_on(stand)
    promise(stand)
    assert stand.statuses() == {"sent": 1}


def test_killed_after_the_final_dot_is_unknown_and_stays_so(stand, promise) -> None:
    gate = stand.office.rules[Step.DOT] = Gate(keeps=True)
    stand.plan(1)
    stand.start_workers("worker")
    stand.start_clock()
    assert gate.reached.wait(60)
    _kill_and_go_on(stand)
    promise(stand)
    assert stand.statuses() == {"unknown": 1}


def test_killed_after_the_250_before_the_commit(stand, promise) -> None:
    lock = stand.new_session()
    is_locked = threading.Event()

    def lock_the_row(visit) -> bytes:
        visit.keep()
        lock.execute("BEGIN")
        lock.execute("SELECT FROM emails FOR UPDATE")
        is_locked.set()
        return OK

    stand.office.rules[Step.DOT] = lock_the_row
    stand.plan(1)
    stand.start_workers("worker")
    stand.start_clock()
    assert is_locked.wait(60)
    stand.until(lambda: _waits_for_a_lock(stand))
    stand.kill("worker")
    lock.execute("ROLLBACK")
    lock.close()
    stand.office.behave()
    stand.start_workers("successor")
    stand.finish(30)
    promise(stand)
    assert stand.statuses() == {"sent": 1}


@pytest.mark.parametrize("is_acked", [False, True], ids=["before the ack", "after the ack"])
def test_killed_after_the_commit(stand, services, promise, is_acked) -> None:
    reached = threading.Event()
    own = stand.new_session()

    def on_ack() -> bool:
        is_sent = bool(own.execute("SELECT FROM emails WHERE status = 'sent'").fetchall())
        if is_sent:
            reached.set()
        return is_acked or not is_sent

    wire = Wire(services.rabbitmq_port)
    wire.on_ack = on_ack
    stand.plan(1)
    stand.start_workers("worker", rabbitmq_url=services.through(wire.port))
    stand.start_clock()
    assert reached.wait(60)
    stand.kill("worker")
    wire.close()
    own.close()
    stand.start_workers("successor")
    stand.until(lambda: _queues_are_empty(stand))
    stand.pass_time()
    stand.finish(30)
    promise(stand)
    assert stand.statuses() == {"sent": 1}


def _waits_for_a_lock(stand) -> bool:
    return bool(stand.ask("SELECT pid FROM pg_locks WHERE NOT granted"))


def _queues_are_empty(stand) -> bool:
    with stand.channel() as channel:
        return not any(
            channel.queue_declare(queue, passive=True).method.message_count
            for queue in (*ASSEMBLE.queues, *SEND.queues)
        )
