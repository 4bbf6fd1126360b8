"""The clock: one leader among any number of replicas says when the stages have to look (DESIGN 3).

The leader holds a PostgreSQL advisory lock on a connection of its own; when that connection dies,
PostgreSQL frees the lock and a standby has it within a second. The clock itself sends nothing and
decides nothing: it publishes ticks, and a tick too many or too few does no harm. Only the
monotonic clock is read, so a jump of the system time neither stops it nor makes it rush.
"""

import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from app.clock import monotonic_s
from app.config import Settings
from app.db.session import CONNECTION_LOST, Session, connect
from app.errors import DependencyUnavailable
from app.log import Event, logger
from app.queueing.messages import Outgoing, encode
from app.queueing.payloads import TickPayload
from app.queueing.steps import MAINTENANCE, SCHEDULE, WEBHOOKS

_LOCK = 0x6D61_696C_636C_6F63  # "mailcloc": one clock per database
_STANDBY_POLL_S = 1.0
_SECOND_LOOK_S = 0.25
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.5, 5.0
# A leader whose machine vanished would keep the lock for the two hours of TCP's own keepalive.
_KEEPALIVE = (
    "SELECT set_config('tcp_keepalives_idle', '3', false),"
    " set_config('tcp_keepalives_interval', '1', false),"
    " set_config('tcp_keepalives_count', '3', false),"
    " set_config('application_name', 'mailqueue clock', false)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A message the clock repeats: at most every `every_s`, and never while one still waits."""

    actor: str
    queue: str
    every_s: float

    def message(self) -> Outgoing:
        """Return the tick to publish."""
        return encode(self.actor, self.queue, TickPayload(reason="clock"))


class Depths(Protocol):
    """Tells how many messages of a queue nobody has taken."""

    def ready(self, queue: str) -> int:
        """Return the number; raises DependencyUnavailable."""

    def close(self) -> None:
        """Let go of the connection."""


class Publisher(Protocol):
    """Publishes with confirms."""

    def publish(self, items: Sequence[Outgoing], timeout_s: float = 30.0) -> None:
        """Publish; raises DependencyUnavailable."""

    def close(self) -> None:
        """Let go of the connection."""


class Housekeeping(Protocol):
    """What the leader does hourly on its own session."""

    def __call__(self, session: Session) -> object:
        """Run once."""


class Timetable:
    """When each of several repeated things is due next. Pure; times are monotonic seconds."""

    def __init__(self, intervals_s: dict[str, float], now_s: float) -> None:
        self._intervals_s = intervals_s
        self._next_s = dict.fromkeys(intervals_s, now_s)

    def is_due(self, name: str, now_s: float) -> bool:
        """Tell whether `name` has to be done at `now_s`."""
        return now_s >= self._next_s[name]

    def done(self, name: str, now_s: float) -> None:
        """Note that `name` was done; what was missed while the process slept is not made up."""
        every_s = self._intervals_s[name]
        planned_s = self._next_s[name] + every_s
        self._next_s[name] = planned_s if planned_s > now_s else now_s + every_s

    def postpone(self, name: str, now_s: float) -> None:
        """Look at `name` again soon: its queue was not empty."""
        self._next_s[name] = now_s + min(self._intervals_s[name], _SECOND_LOOK_S)

    def wait_s(self, now_s: float) -> float:
        """Return the time until the next thing is due."""
        return max(0.0, min(self._next_s.values()) - now_s)


def beats(interval_ms: int) -> tuple[Beat, ...]:
    """Return what the clock repeats: passes, rollups, sweeps, webhooks, checks, forecasts, retention."""
    return (
        Beat(actor="schedule_tick", queue=SCHEDULE.queue, every_s=interval_ms / 1000),
        Beat(actor="fold_stats", queue=MAINTENANCE.queue, every_s=5.0),
        Beat(actor="sweep", queue=MAINTENANCE.queue, every_s=10.0),
        Beat(actor="tell", queue=WEBHOOKS.queue, every_s=1.0),
        Beat(actor="sweep_inbound", queue=MAINTENANCE.queue, every_s=10.0),
        Beat(actor="check_books", queue=MAINTENANCE.queue, every_s=60.0),
        Beat(actor="judge_senders", queue=MAINTENANCE.queue, every_s=60.0),
        Beat(actor="watch_stages", queue=MAINTENANCE.queue, every_s=30.0),
        Beat(actor="refresh_forecasts", queue=MAINTENANCE.queue, every_s=60.0),
        Beat(actor="forget", queue=MAINTENANCE.queue, every_s=30.0),
        Beat(actor="retain", queue=MAINTENANCE.queue, every_s=3600.0),
    )


@contextmanager
def leadership(dsn: str, stop: threading.Event) -> Iterator[Session | None]:
    """Wait until this process leads and yield its session; None when `stop` came first.

    Raises DependencyUnavailable. The lead ends with the session.
    """
    session = connect(dsn)
    try:
        session.execute(_KEEPALIVE)
        has_stood_by = False
        while not stop.is_set():
            row = session.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
            if row is not None and row[0]:
                yield session
                return
            if not has_stood_by:
                logger().info(Event.CLOCK_STOOD_BY)
                has_stood_by = True
            stop.wait(_STANDBY_POLL_S)
        yield None
    finally:
        session.close()


def has_leader(session: Session) -> bool:
    """Tell whether any process leads now."""
    row = session.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (classid::bigint << 32) | objid::bigint = %s)",
        (_LOCK,),
    ).fetchone()
    return bool(row and row[0])


class Clock:
    """One replica of the clock."""

    def __init__(
        self,
        settings: Settings,
        *,
        publisher: Publisher,
        depths: Depths,
        hourly: Housekeeping,
    ) -> None:
        self._dsn = settings.database_url
        self._beats = beats(settings.clock_interval_ms)
        self._publisher = publisher
        self._depths = depths
        self._hourly = hourly
        self._trouble: str | None = None
        self._backoff_s = _FIRST_BACKOFF_S
        self.stop = threading.Event()

    def run(self) -> None:
        """Lead or stand by until `stop` is set; PostgreSQL or RabbitMQ away is waited out."""
        while not self.stop.is_set():
            try:
                with leadership(self._dsn, self.stop) as session:
                    if session is not None:
                        self._lead(session)
            except DependencyUnavailable as error:
                self._wait_out(error.what, error.why)
            except CONNECTION_LOST as error:
                self._wait_out("PostgreSQL closed the clock's connection.", str(error).strip())
        self._publisher.close()
        self._depths.close()

    def _lead(self, session: Session) -> None:
        if self._trouble is None:
            logger().info(Event.CLOCK_LED)
        intervals_s = {beat.actor: beat.every_s for beat in self._beats} | {"hourly": 3600.0}
        timetable = Timetable(intervals_s, monotonic_s())
        while not self.stop.is_set():
            session.execute("SELECT 1")  # raises when the lead is lost
            self._beat(timetable)
            if timetable.is_due("hourly", monotonic_s()):
                self._hourly(session)
                timetable.done("hourly", monotonic_s())
            self._recovered()
            self.stop.wait(max(timetable.wait_s(monotonic_s()), 0.02))

    def _beat(self, timetable: Timetable) -> None:
        """Publish what is due; a beat whose queue is not empty stays due for the next round."""
        for beat in self._beats:
            if not timetable.is_due(beat.actor, monotonic_s()):
                continue
            if self._depths.ready(beat.queue):
                timetable.postpone(beat.actor, monotonic_s())
                continue
            self._publisher.publish([beat.message()])
            timetable.done(beat.actor, monotonic_s())

    def _wait_out(self, what: str, why: str) -> None:
        """Let go of the lead, say once what is away, and wait a little longer each time."""
        if what != self._trouble:
            logger().warning(Event.DEPENDENCY_LOST, what=what, why=why)
        self._trouble = what
        self.stop.wait(self._backoff_s * random.uniform(0.7, 1.3))  # noqa: S311 - no secret: spreads replicas
        self._backoff_s = min(self._backoff_s * 2, _LAST_BACKOFF_S)

    def _recovered(self) -> None:
        if self._trouble is not None:
            logger().info(Event.DEPENDENCY_RETURNED, what=self._trouble)
            logger().info(Event.CLOCK_LED)
        self._trouble = None
        self._backoff_s = _FIRST_BACKOFF_S


def stop_on_signals(clock: Clock) -> None:
    """End the clock at SIGTERM and SIGINT; call it in the main thread."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: clock.stop.set())
