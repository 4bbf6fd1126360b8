"""Troubles that no load is needed for: a full disk, one host that hangs, a frozen process."""

import signal
import time

import pytest

from tests.failure.killable import Service
from tests.failure.neighbours import MOST_MORE_S, MOST_TIMES, hang_beside
from tests.failure.office import Gate, PostOffice, Step

_JOURNAL_BYTES = 15_000  # some hundred lines


def test_a_full_disk_for_the_journal_stops_sending_and_loses_nothing(stand, promise) -> None:
    stand.start_piped_worker("worker")
    stand.until(lambda: "process.started" in stand.log("worker-piped"), 60)
    stand.fill_disk("worker", _JOURNAL_BYTES)
    campaign = stand.plan(400)
    stand.start_clock()
    stand.until(lambda: "attempt journal" in stand.log("worker-piped"), 60)
    assert "cannot be written: File too large" in stand.log("worker-piped")
    assert sum(stand.office.accepted.values()) < len(campaign.addresses)
    stand.kill("worker")
    stand.start_workers("successor")
    stand.finish(90)
    promise(stand)


def test_a_worker_frozen_behind_the_dot_records_its_late_outcome(stand, promise) -> None:
    gate = stand.office.rules[Step.DOT] = Gate(keeps=True)
    stand.plan(1)
    stand.start_workers("worker")
    stand.start_clock()
    assert gate.reached.wait(20)
    stand.signal("worker", signal.SIGSTOP)
    stand.open_at_kill += stand.office.connections
    stand.ask("UPDATE emails SET lease_until = now() - interval '1 s'")
    stand.start_workers("successor")
    stand.until(lambda: (stand.pass_time(), stand.statuses() == {"unknown": 1})[1], 60)
    stand.office.behave()
    stand.signal("worker", signal.SIGCONT)
    stand.until(lambda: stand.statuses() == {"sent": 1}, 30)
    promise(stand)


def test_a_host_that_hangs_does_not_stop_another_app(stand, promise) -> None:
    hanging = PostOffice()
    hanging.rules[Step.DATA] = Gate()
    stuck = stand.plan(600, address="stuck{n}@example{k}.com")
    stand.ask(
        "UPDATE smtp_configs SET port = %s WHERE id = %s", (hanging.port, stuck.smtp_config_id)
    )
    stand.start_workers("worker")
    stand.start_clock()
    stand.until(lambda: hanging.connections >= 8)
    well = stand.plan(50)
    stand.until(lambda: all(stand.office.accepted[a] for a in well.addresses), 15)
    hanging.rules.clear()
    hanging.released.set()
    stand.finish(60)
    stand.office.accepted += hanging.accepted
    hanging.close()
    promise(stand)


def test_a_host_that_hangs_does_not_slow_the_p99_of_another_app(stand, promise) -> None:
    stand.start_workers("worker", threads=4)
    stand.start_clock()
    stand.plan(20, address="first{n}@example{k}.com")
    alone, beside = hang_beside(stand)
    assert beside <= MOST_TIMES * alone + MOST_MORE_S
    stand.finish(60)
    promise(stand)


def test_a_wiped_redis_lets_no_more_through_than_was_in_flight(
    stand, services, until_quiet
) -> None:
    limit, micro_batch, threads = 60, 5, 2
    stand.office.pace_s = 0.1
    campaign = stand.plan(200, hourly_limit=limit)
    stand.ask("UPDATE queues SET micro_batch = %s", (micro_batch,))
    stand.start_workers("worker", threads=threads)
    stand.start_clock()
    wipes = 1
    for number in range(1, wipes + 1):
        stand.until(lambda number=number: sum(stand.office.accepted.values()) >= 20 * number, 60)
        services.kill(Service.REDIS)
        services.wipe(Service.REDIS)
        services.start(Service.REDIS)
        stand.pass_time()
    until_quiet(stand)
    arrived = sum(stand.office.accepted.values())
    assert limit <= arrived <= limit + wipes * threads * micro_batch
    assert max(stand.office.accepted.values()) == 1
    assert sum(stand.statuses().values()) == len(campaign.addresses)


@pytest.fixture
def until_quiet():
    """Waits until nothing has arrived for a while, however often waits are ended."""

    def wait(stand) -> None:
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < 3:
            stand.pass_time()
            time.sleep(0.5)
            arrived = sum(stand.office.accepted.values())
            if arrived != seen:
                seen, since = arrived, time.monotonic()

    return wait
