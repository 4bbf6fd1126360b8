"""What happens around every actor: logs know the message, failures climb the ladder or die readable.

Order matters (`declare.middlewares`): Dramatiq calls `after_*` in reverse, so TimeLimit, the last,
is disarmed before the ladder publishes.
"""

import contextlib
import ctypes
import gc
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, cast

import dramatiq
from dramatiq.middleware import Middleware, MiddlewareError, Shutdown, TimeLimit
from prometheus_client import multiprocess
from structlog.contextvars import bind_contextvars, clear_contextvars

from app.clock import monotonic_s, utc_now
from app.errors import InputInvalid, NotFound
from app.log import Event, logger
from app.metrics import MESSAGE_S, MESSAGES_RETRIED
from app.queueing.broker import LadderBroker
from app.queueing.consumer import LadderMessage
from app.queueing.dead_letters import app_of, from_failure, request_of
from app.queueing.steps import Step

PERMANENT = (InputInvalid, NotFound)


class BootRefused(MiddlewareError):
    """A worker process must not start: what has to happen before work did not."""


class Context(Middleware):
    """Bind queue, actor, message, app and request to every log line of a message; time it."""

    def __init__(self) -> None:
        self._local = threading.local()

    def before_process_message(
        self, broker: dramatiq.Broker, message: dramatiq.MessageProxy
    ) -> None:
        """Bind what identifies the message."""
        del broker
        clear_contextvars()
        known = {"app_id": app_of(message.kwargs), "request_id": request_of(message.options)}
        bind_contextvars(
            queue=message.queue_name,
            actor=message.actor_name,
            message_id=message.message_id,
            **{name: str(value) for name, value in known.items() if value is not None},
        )
        self._local.started_s = monotonic_s()

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Clear the bindings: the thread's next message is another one's."""
        del broker, result, exception
        MESSAGE_S.labels(message.actor_name).observe(monotonic_s() - self._local.started_s)
        clear_contextvars()


class LadderRetries(Middleware):
    """Decide what becomes of a message: settled, up the ladder, or dead with its reason.

    A message is settled only when its actor finished or RabbitMQ has confirmed its successor; in
    every other case (shutdown, failed publish, a strike while this runs) the consumer puts it back.
    """

    @property
    def actor_options(self) -> set[str]:
        """`max_retries`: rungs a message climbs before it is dead."""
        return {"max_retries"}

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Settle the message, or leave it to be put back."""
        del result
        if isinstance(exception, Shutdown):
            logger().info(Event.MESSAGE_REDELIVERED, reason="shutdown")
            return
        if exception is not None:
            _fail(cast("LadderBroker", broker), message, exception)
        cast("LadderMessage", message).settled = True


def _fail(broker: LadderBroker, message: dramatiq.MessageProxy, exception: BaseException) -> None:
    """Publish what follows a failure; raises PublishUnconfirmed, and the message goes back."""
    failed = failures(message.options)
    options = broker.get_actor(message.actor_name).options
    rungs = min(options.get("max_retries", len(broker.ladder)), len(broker.ladder))
    if is_permanent(exception):
        broker.bury(from_failure(message, exception, "permanent: no retry helps", utc_now()))
    elif failed >= rungs:
        reason = f"exhausted: failed {failed + 1} times"
        broker.bury(from_failure(message, exception, reason, utc_now()))
    else:
        message.options["retries"] = failed + 1
        broker.climb(message, broker.ladder[failed])
        MESSAGES_RETRIED.labels(message.queue_name).inc()
        logger().warning(
            Event.MESSAGE_RETRIED,
            attempt=failed + 1,
            rung=broker.ladder[failed].label,
            error_class=type(exception).__name__,
        )


def failures(options: dict[str, Any]) -> int:
    """Return how often the message failed before."""
    retries = options.get("retries", 0)
    return retries if isinstance(retries, int) and retries >= 0 else 0


def is_permanent(exception: BaseException) -> bool:
    """Tell whether waiting cannot help: bad input, a missing thing, or arguments no actor takes."""
    if isinstance(exception, PERMANENT):
        return True
    return isinstance(exception, TypeError) and not entered(exception.__traceback__)


def entered(trace: TracebackType | None) -> bool:
    """Tell whether an error came from inside the actor, not from calling it."""
    module = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        trace = trace.tb_next
    return module != "dramatiq.actor"


# M_ARENA_MAX of glibc's malloc.h.
_ARENA_MAX = -8


def share_heaps() -> None:
    """Let all threads share two heaps: with one for each, what is freed in one is kept from the others.

    250,000 mails through two processes ended with 274 MB, with two heaps each with 258. Does
    nothing where the C library is not glibc.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 2)


def spare_the_collector() -> None:
    """Freeze what is loaded: it lives as long as the process, and no collection needs to visit it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class StageLimit(TimeLimit):
    """Dramatiq's limit on the time of a message, told when its thread begins another stage."""

    def begin(self, step: Step) -> None:
        """Give this thread the time of `step`, from now on."""
        limit_ms = step.time_limit.total_seconds() * 1000
        self.manager.add_timeout(threading.get_ident(), limit_ms)  # type: ignore[no-untyped-call]


class WorkerBoot(Middleware):
    """Run what a worker process needs before its first message and after its last.

    `on_boot` runs in order before any thread starts; one that raises stops the process, because a
    worker that could not settle its journals must not send. `on_stop` runs when all messages in
    work are finished, so it may close what they used.
    """

    def __init__(
        self, on_boot: list[Callable[[], None]], on_stop: list[Callable[[], None]]
    ) -> None:
        self._on_boot = on_boot
        self._on_stop = on_stop

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Fetch only what the threads can work on, check the topology, run the hooks, freeze."""
        share_heaps()
        worker.queue_prefetch = worker.worker_threads
        ladder_broker = cast("LadderBroker", broker)
        queues = worker.consumer_whitelist or broker.get_declared_queues()
        ladder_broker.read_here = frozenset(queues)
        try:
            ladder_broker.check_topology()
            for hook in self._on_boot:
                hook()
        except Exception as error:
            raise BootRefused(str(error)) from error
        spare_the_collector()
        logger().info(Event.PROCESS_STARTED, pid=os.getpid(), threads=worker.worker_threads)

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Run the stop hooks; one that fails does not keep the others from running."""
        del broker, worker
        for hook in self._on_stop:
            try:
                hook()
            except Exception as error:  # noqa: BLE001 - the process ends here, and says so
                logger().warning(Event.PROCESS_STOPPED, pid=os.getpid(), error=str(error))
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
        logger().info(Event.PROCESS_STOPPED, pid=os.getpid())
