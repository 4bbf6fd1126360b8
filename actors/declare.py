"""Declaring actors: the broker with everything around it, and one actor per stage and lane.

`actors/__init__.py` calls `set_broker()` first and imports every stage after that.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import dramatiq
from dramatiq.middleware import CurrentMessage, Middleware, ShutdownNotifications

from actors.middleware import Context, LadderRetries, StageLimit, WorkerBoot
from app.config import settings
from app.db.session import CONNECTION_LOST, close_thread_session, thread_session
from app.errors import DependencyUnavailable, MessageMalformed
from app.log import Event, logger
from app.queueing import dead_letters
from app.queueing.broker import LadderBroker
from app.queueing.messages import OrjsonEncoder
from app.queueing.payloads import Payload, TickPayload, parse
from app.queueing.steps import Lane, Step

P = TypeVar("P", bound=Payload)

Hook = Callable[[], None]
_PRIORITY = {Lane.HIGH: 0, Lane.NORMAL: 10, Lane.LOW: 20}

on_boot: list[Hook] = []
on_stop: list[Hook] = []
stage_limit = StageLimit()


def middlewares(boot: WorkerBoot) -> list[Middleware]:
    """Return what surrounds every actor. The time limit is last: disarmed before the ladder publishes."""
    return [
        boot,
        Context(),
        LadderRetries(),
        CurrentMessage(),
        ShutdownNotifications(),
        stage_limit,
    ]


def set_broker() -> LadderBroker:
    """Create the process's broker from the settings and make it Dramatiq's."""
    broker = LadderBroker(
        url=settings().rabbitmq_url,
        middleware=middlewares(WorkerBoot(on_boot, on_stop)),
        record=record_dead_letter,
    )
    dramatiq.set_encoder(OrjsonEncoder())
    dramatiq.set_broker(broker)
    return broker


def record_dead_letter(letter: dead_letters.DeadLetter) -> None:
    """Write a dead letter's row in a short transaction of its own; raises when PostgreSQL is away."""
    session = thread_session(settings().database_url)
    try:
        with session.transaction():
            dead_letters.record(session, letter)
    except BaseException:
        close_thread_session()  # whatever state it is in, the next message gets a fresh one
        raise


def stage_actor(
    step: Step, lane: Lane | None, fn: Callable[[P], None], schema: type[P]
) -> dramatiq.Actor[Any, None]:
    """Declare `fn` as the actor of a step's lane: send_high reads send.high; no lane, no suffix.

    `fn` gets its payload as `schema`. Anything else in the message is dead-lettered with the field
    that is wrong, before `fn` runs.
    """

    def receive(*args: object, **kwargs: object) -> None:
        if args or kwargs.keys() != {"payload"}:
            raise MessageMalformed(
                f"{name} takes one keyword argument, payload.",
                why=f"It got {len(args)} positional and {sorted(kwargs) or 'no'} keywords.",
                fix="Build messages with app.queueing.messages.encode.",
                field="kwargs",
            )
        fn(parse(schema, kwargs["payload"]))

    name = fn.__name__ if lane is None else f"{fn.__name__}_{lane}"
    declare = dramatiq.actor(
        actor_name=name,
        queue_name=step.queue if lane is None else step.queue_for(lane),
        priority=step.rank + (0 if lane is None else _PRIORITY[lane]),
        time_limit=int(step.time_limit.total_seconds() * 1000),
        max_retries=step.retries,
    )
    return declare(receive)


def tick_actor(step: Step, fn: Callable[[TickPayload], None]) -> dramatiq.Actor[Any, None]:
    """Declare `fn` as an actor of the clock: a tick that fails for want of a service is dropped.

    The next tick does what this one could not; a dead letter of it would help nobody.
    """

    @functools.wraps(fn)
    def attempt(payload: TickPayload) -> None:
        try:
            fn(payload)
        except (*CONNECTION_LOST, DependencyUnavailable) as error:
            logger().warning(Event.TICK_FAILED, actor=fn.__name__, error=str(error))

    return stage_actor(step, None, attempt, TickPayload)


def lane_actors(
    step: Step, fn: Callable[[P], None], schema: type[P]
) -> dict[Lane, dramatiq.Actor[Any, None]]:
    """Declare one actor per lane of `step`."""
    return {lane: stage_actor(step, lane, fn, schema) for lane in Lane}
