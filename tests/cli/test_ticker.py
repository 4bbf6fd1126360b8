"""The clock: one leader, a standby that takes over, no pile of ticks, no hurry after a pause."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest

from app.config import Settings
from app.errors import PublishUnconfirmed
from app.queueing.depth import DepthGauge
from app.queueing.messages import Outgoing, decode
from app.queueing.publisher import BatchPublisher
from app.ticker import Clock, Timetable, beats, has_leader


class Wire:
    """RabbitMQ's edge: keeps what was published, and can be away."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.waiting: dict[str, int] = {}
        self.is_away = False

    def publish(self, items: Sequence[Outgoing], timeout_s: float = 30.0) -> None:
        del timeout_s
        if self.is_away:
            raise PublishUnconfirmed("RabbitMQ did not confirm.", why="It is away.")
        self.published += [decode(item.body).actor_name for item in items]

    def ready(self, queue: str) -> int:
        return self.waiting.get(queue, 0)

    def close(self) -> None:
        pass


@contextmanager
def running(clock: Clock) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=clock.run)
    thread.start()
    try:
        yield thread
    finally:
        clock.stop.set()
        thread.join(10)
        assert not thread.is_alive()


def until(condition: Callable[[], object], limit_s: float = 8.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.02)


def make_clock(settings: Settings, wire: Wire) -> Clock:
    quick = settings.model_copy(update={"clock_interval_ms": 50})
    return Clock(quick, publisher=wire, depths=wire, hourly=lambda _session: None)


def leaders(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [
            pid
            for (pid,) in connection.execute(
                "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
            )
        ]


def test_the_leader_repeats_every_beat(settings: Settings) -> None:
    wire = Wire()
    with running(make_clock(settings, wire)):
        until(lambda: wire.published.count("schedule_tick") >= 3)
    assert {"schedule_tick", "fold_stats", "sweep"} <= set(wire.published)


def test_a_tick_that_nobody_took_is_not_followed_by_another(settings: Settings) -> None:
    wire = Wire()
    wire.waiting["schedule"] = 1
    with running(make_clock(settings, wire)):
        until(lambda: "sweep" in wire.published)
        assert "schedule_tick" not in wire.published
        wire.waiting.clear()
        until(lambda: "schedule_tick" in wire.published)


def test_of_two_clocks_one_leads_and_the_other_takes_over(settings: Settings) -> None:
    first, second = Wire(), Wire()
    standby = make_clock(settings, second)
    with running(make_clock(settings, first)) as leader:
        until(lambda: first.published)
        with running(standby):
            time.sleep(0.3)
            assert not second.published
            leading = leaders(settings.database_url)
            assert len(leading) == 1
            with psycopg.connect(settings.database_url) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", (leading[0],))
            until(lambda: second.published or leaders(settings.database_url) != leading)
            until(lambda: leaders(settings.database_url))
            assert leader.is_alive()
            assert len(leaders(settings.database_url)) == 1


def test_a_standby_leads_when_the_leader_stops(settings: Settings) -> None:
    first, second = Wire(), Wire()
    leader = make_clock(settings, first)
    with running(leader):
        until(lambda: first.published)
        with running(make_clock(settings, second)):
            leader.stop.set()
            until(lambda: second.published)


def test_rabbitmq_away_is_waited_out(settings: Settings) -> None:
    wire = Wire()
    wire.is_away = True
    with running(make_clock(settings, wire)):
        time.sleep(0.3)
        wire.is_away = False
        until(lambda: "schedule_tick" in wire.published)


def test_postgresql_away_is_waited_out_and_stop_is_obeyed(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/nothing"})
    with running(make_clock(away, Wire())) as thread:
        time.sleep(0.2)
        assert thread.is_alive()


def test_a_leader_shows_in_the_database(settings: Settings) -> None:
    wire = Wire()
    with psycopg.connect(settings.database_url, autocommit=True) as session:
        assert not has_leader(session)
        with running(make_clock(settings, wire)):
            until(lambda: has_leader(session))


def test_ticks_arrive_in_rabbitmq_and_never_pile_up(settings: Settings, rabbitmq_url: str) -> None:
    quick = settings.model_copy(update={"clock_interval_ms": 50})
    gauge = DepthGauge(rabbitmq_url)
    clock = Clock(
        quick,
        publisher=BatchPublisher(rabbitmq_url),
        depths=DepthGauge(rabbitmq_url),
        hourly=lambda _session: None,
    )
    with running(clock):
        until(lambda: gauge.ready("schedule") == 1)
        time.sleep(1.0)
        assert gauge.ready("schedule") <= 2
    gauge.close()


@pytest.mark.parametrize("pause_s", [0.0, 3_600.0])
def test_what_was_missed_is_not_made_up(pause_s: float) -> None:
    timetable = Timetable({"tick": 0.5}, 100.0)
    assert timetable.is_due("tick", 100.0 + pause_s)
    timetable.done("tick", 100.0 + pause_s)
    assert not timetable.is_due("tick", 100.1 + pause_s)
    assert timetable.is_due("tick", 100.5 + pause_s)


def test_a_late_beat_does_not_shift_the_following_ones() -> None:
    timetable = Timetable({"tick": 0.5}, 100.0)
    timetable.done("tick", 100.2)
    assert timetable.wait_s(100.2) == pytest.approx(0.3)


def test_the_scheduling_interval_is_a_setting() -> None:
    assert beats(250)[0].every_s == 0.25
