"""From the spool to RabbitMQ: one batched, confirmed publish at most every 50 ms.

While RabbitMQ is away the spool grows, and is drained when it is back. A hit the disk did not take
waits in memory, so that a full disk alone loses nothing while the process lives.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from app.clock import monotonic_s
from app.errors import MailqueueError
from app.log import Event, logger
from app.metrics import HITS_DISCARDED, HITS_UNSPOOLED, SPOOL_BYTES
from app.queueing.messages import Outgoing, encode
from app.queueing.payloads import Hit, HitsPayload
from app.queueing.steps import EVENTS
from tracking.spool import Spool

FLUSH_S = 0.05
_LONGEST_PAUSE_S = 2.0
_LINES_AT_ONCE = 8 * EVENTS.chunk
_LINES_IN_MEMORY = 10_000
_ADOPT_EVERY_S = 30.0
_LOG_EVERY_S = 30.0
_TRY_EVERY_S = 5.0
_EXIT_PRIORITY = 10
# Together well below the time a server gives a worker to end (15 s, app/cli/processes.py): what is
# not published by then waits on disk for the next process.
_LAST_PUBLISH_S, _CLOSING_S = 5.0, 1.0


class Publisher(Protocol):
    """What the drain needs of app.queueing.publisher.BatchPublisher."""

    def publish(self, items: Sequence[Outgoing]) -> None:
        """Return when all are confirmed; raises PublishUnconfirmed."""

    def close(self, timeout_s: float) -> None:
        """Close the connection; waits for its end at most `timeout_s`."""


class Drain:
    """Keeps hits in the spool and publishes them from a thread of its own."""

    def __init__(self, spool: Spool, publisher: Publisher) -> None:
        self.spool = spool
        self._publisher = publisher
        self._unspooled: deque[bytes] = deque(maxlen=_LINES_IN_MEMORY)
        self._lines_done = 0
        self._pause_s = FLUSH_S
        self._next_adoption_s = self._next_log_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hit-drain", daemon=True)
        self._thread.start()

    def keep(self, line: bytes) -> bool:
        """Keep one hit; True when it now survives the end of this process."""
        if self.spool.append(line):
            return True
        self._unspooled.append(line)
        return False

    def close(self) -> None:
        """Publish what waits, once, and let go of the spool; takes 6 s when RabbitMQ is silent."""
        self._stopping.set()
        self._thread.join(_LAST_PUBLISH_S)
        self._publisher.close(_CLOSING_S)
        self.spool.close()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s):
            self._turn()
        if self._pause_s == FLUSH_S:
            self._turn()

    def _turn(self) -> None:
        try:
            self._adopt()
            self._publish_unspooled()
            self._publish_segments()
        except MailqueueError as error:
            self._slow_down(error)
        except Exception as error:  # noqa: BLE001 - outermost loop: a hit must not end the drain
            logger().error(Event.SPOOL_FAILED, error=repr(error), fix="See the spool's directory.")
            self._slow_down(error)
        else:
            self._recover()
        SPOOL_BYTES.set(self.spool.waiting_bytes)

    def _adopt(self) -> None:
        if monotonic_s() >= self._next_adoption_s:
            self.spool.adopt()
            self._next_adoption_s = monotonic_s() + _ADOPT_EVERY_S

    def _publish_unspooled(self) -> None:
        lines = [self._unspooled.popleft() for _ in range(len(self._unspooled))]
        try:
            self._publish(lines)
        except MailqueueError:
            self._unspooled.extendleft(reversed(lines))
            raise

    def _publish_segments(self) -> None:
        self.spool.seal()
        while (path := self.spool.oldest()) is not None:
            self._publish_segment(path)
            self.spool.delete_oldest()
            self._lines_done = 0

    def _publish_segment(self, path: Path) -> None:
        """Publish the lines of a segment, going on where an earlier turn failed."""
        lines = path.read_bytes().splitlines()
        while self._lines_done < len(lines):
            part = lines[self._lines_done : self._lines_done + _LINES_AT_ONCE]
            self._publish(part)
            self._lines_done += len(part)

    def _publish(self, lines: Sequence[bytes]) -> None:
        hits = [hit for hit in map(_hit, lines) if hit is not None]
        self._publisher.publish(
            [
                encode("record_hits", EVENTS.queue, HitsPayload(hits=hits[i : i + EVENTS.chunk]))
                for i in range(0, len(hits), EVENTS.chunk)
            ]
        )

    def _slow_down(self, error: Exception) -> None:
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        if monotonic_s() >= self._next_log_s:
            self._next_log_s = monotonic_s() + _LOG_EVERY_S
            waiting = self.spool.waiting_bytes
            logger().warning(Event.SPOOL_GREW, waiting_bytes=waiting, reason=str(error))

    def _recover(self) -> None:
        if self._pause_s > FLUSH_S:
            self._pause_s, self._next_log_s = FLUSH_S, 0.0
            logger().info(Event.SPOOL_DRAINED, waiting_bytes=self.spool.waiting_bytes)


class HitStore:
    """The spool and drain of whatever process asks: opened with its first hit, also after a fork.

    When the process ends in peace, what waits is published once more.
    """

    def __init__(self, directory: Path, connect: Callable[[], Publisher]) -> None:
        self._directory = directory
        self._connect = connect
        self._opening = threading.Lock()
        self._next_try_s = 0.0
        self._drain: Drain | None = None
        os.register_at_fork(after_in_child=self._forked)

    def keep(self, line: bytes) -> bool:
        """Keep one hit before it is answered; False when it could end with this process."""
        drain = self._drain or self._open()
        if drain is None:
            HITS_UNSPOOLED.inc()
            return False
        return drain.keep(line)

    def waiting_bytes(self) -> int | None:
        """Return the bytes waiting for RabbitMQ; None when there is no disk to wait on."""
        drain = self._drain or self._open()
        return None if drain is None else drain.spool.waiting_bytes

    def close(self) -> None:
        """Publish what waits, once; the next hit opens the store again."""
        with self._opening:
            drain, self._drain = self._drain, None
            self._next_try_s = 0.0
        if drain is not None:
            drain.close()

    def _open(self) -> Drain | None:
        with self._opening:
            if self._drain is None and monotonic_s() >= self._next_try_s:
                self._next_try_s = monotonic_s() + _TRY_EVERY_S
                self._drain = self._new_drain()
            return self._drain

    def _new_drain(self) -> Drain | None:
        try:
            drain = Drain(Spool(self._directory), self._connect())
        except OSError as error:
            fix = f"Make {self._directory} writable; until then hits are lost."
            with contextlib.suppress(OSError):  # the log may go to the same full disk
                logger().error(Event.SPOOL_FAILED, error=str(error), fix=fix)
            return None
        # atexit alone is skipped in the forked workers of granian; this is not.
        Finalize(None, self.close, exitpriority=_EXIT_PRIORITY)
        return drain

    def _forked(self) -> None:
        """Leave the parent its spool: the child opens one of its own."""
        self._opening = threading.Lock()
        if self._drain is not None:
            self._drain.spool.forget()
        self._drain, self._next_try_s = None, 0.0


def _hit(line: bytes) -> Hit | None:
    """Return a spooled line as a hit; None for one the disk spoiled, which is counted and logged."""
    try:
        return Hit.model_validate_json(line)
    except ValidationError as error:
        HITS_DISCARDED.inc()
        logger().error(Event.HITS_DISCARDED, reason=error.errors(include_input=False)[0]["msg"])
        return None
