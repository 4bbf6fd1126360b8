"""Our own processes under measurement: the worker fleet and the clock, as production runs them.

The clock must not release mail before the run begins, so the bench holds the clock's leadership
until then: the clock stands by, takes over within a second, and the first tick is published here.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pika

from app.cli.processes import dramatiq_command
from app.config import settings
from app.queueing.messages import encode
from app.queueing.payloads import TickPayload
from app.queueing.publisher import BatchPublisher
from app.queueing.steps import ASSEMBLE, SCHEDULE, SEND
from app.ticker import leadership
from infra.load.hosts import HERE, Host
from infra.load.running import Child, running, wait_for
from infra.local import programs

_MAIL_QUEUES = (*SCHEDULE.queues, *ASSEMBLE.queues, *SEND.queues)
_ENV = {"MAILQUEUE_LOG_LEVEL": "warning", "MAILQUEUE_GLOBAL_PER_MINUTE": "10000000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How many worker processes on each host, each host with a state directory of its own."""

    processes: int
    hosts: tuple[Host, ...] = (HERE,)

    @property
    def all(self) -> int:
        """The worker processes of all hosts."""
        return self.processes * len(self.hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The running processes, by the name under which their CPU is counted; workers by host."""

    workers: tuple[Child, ...]
    clock: Child

    @property
    def pids(self) -> dict[str, int]:
        """Root processes by name."""
        names = ("workers", *(f"workers of host {n}" for n in range(2, len(self.workers) + 1)))
        pids = {name: child.pid for name, child in zip(names, self.workers, strict=True)}
        return {**pids, "clock": self.clock.pid}


def environment() -> dict[str, str]:
    """Return the environment of our processes: quiet, and with a global limit to count against."""
    return {**os.environ, **_ENV}


@contextmanager
def working(folder: Path, strength: Strength) -> Iterator[Fleet]:
    """Run workers and clock; ready to work when the block begins, the clock in command."""
    with standing_by(folder, strength) as (fleet, gun):
        gun.fire()
        yield fleet


@contextmanager
def standing_by(folder: Path, strength: Strength) -> Iterator[tuple[Fleet, "StartingGun"]]:
    """Run workers and clock with nothing released until the gun is fired."""
    gun = StartingGun()
    clock_command = programs.python("app", "clock")
    with contextlib.ExitStack() as stack:
        stack.enter_context(gun.held())
        workers = tuple(
            stack.enter_context(_workers(folder, number, host, strength.processes))
            for number, host in enumerate(strength.hosts, start=1)
        )
        clock = stack.enter_context(running(clock_command, folder / "clock.log", env=environment()))
        wait_for("a consumer of every queue", lambda: _has_consumers(strength.all), workers[0])
        yield Fleet(workers=workers, clock=clock), gun


@contextmanager
def _workers(folder: Path, number: int, host: Host, processes: int) -> Iterator[Child]:
    """Run the workers of one host, whose journals lie in a directory of its own."""
    command = host.command(dramatiq_command(processes, settings().worker_threads, ()))
    state = settings().state_dir if number == 1 else folder / f"host-{number}"
    env = environment() | {"MAILQUEUE_STATE_DIR": str(state)}
    log = folder / ("workers.log" if number == 1 else f"workers-{number}.log")
    with running(command, log, env=env) as child:
        yield child


class StartingGun:
    """Holds the clock's leadership until it is fired."""

    def __init__(self) -> None:
        self._is_fired = threading.Event()
        self._is_held = threading.Event()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lead for the time of the block, or until `fire`."""
        holder = threading.Thread(target=self._hold, name="starting-gun", daemon=True)
        holder.start()
        self._is_held.wait()
        try:
            yield
        finally:
            self._is_fired.set()
            holder.join()

    def fire(self) -> None:
        """Publish the first tick and let the clock lead."""
        self.tick()
        self._is_fired.set()

    @staticmethod
    def tick() -> None:
        """Ask for a scheduling pass now."""
        tick = encode("schedule_tick", SCHEDULE.queue, TickPayload(reason="bench"))
        with contextlib.closing(BatchPublisher(settings().rabbitmq_url)) as publisher:
            publisher.publish([tick])

    def _hold(self) -> None:
        with leadership(settings().database_url, threading.Event()):
            self._is_held.set()
            self._is_fired.wait()


def _has_consumers(processes: int) -> bool:
    """Tell whether each worker process consumes each queue of mail."""
    connection = pika.BlockingConnection(pika.URLParameters(settings().rabbitmq_url))
    try:
        channel = connection.channel()
        found = (
            channel.queue_declare(queue, passive=True).method.consumer_count
            for queue in _MAIL_QUEUES
        )
        return all(count >= processes for count in found)
    except pika.exceptions.ChannelClosedByBroker:  # the workers are yet to declare it
        return False
    finally:
        connection.close()
