"""The pipeline on one page: each step, its queue, its chunk, its retries and its time limit.

Rooms of one floor never import each other; they meet in the state of an e-mail and here.
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    """RabbitMQ has three lanes; the ten priorities are exact in the release order."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


def lane_of(priority: int) -> Lane:
    """Return the lane of an e-mail priority (1 lowest to 10 highest)."""
    if priority >= 8:
        return Lane.HIGH
    return Lane.NORMAL if priority >= 4 else Lane.LOW


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stage. `chunk` = items one message carries; attempt n waits on rung n of the ladder.

    `rank` orders the stages inside one lane of one worker process: the last stage first, so that
    queues stay short.
    """

    queue: str
    chunk: int
    retries: int
    time_limit: dt.timedelta
    lanes: bool = False
    rank: int = 5

    def queue_for(self, lane: Lane) -> str:
        """Return the work queue of this step and lane."""
        return f"{self.queue}.{lane}" if self.lanes else self.queue

    @property
    def queues(self) -> tuple[str, ...]:
        """All work queues of this step."""
        return tuple(self.queue_for(lane) for lane in Lane) if self.lanes else (self.queue,)


_MINUTE = dt.timedelta(minutes=1)

SCHEDULE = Step(queue="schedule", chunk=1, retries=0, time_limit=5 * _MINUTE)
ASSEMBLE = Step(queue="assemble", chunk=200, retries=4, time_limit=5 * _MINUTE, lanes=True, rank=4)
# The reply to one final dot may take 10 minutes (RFC 5321 4.5.3.2.6): the limit is longer.
SEND = Step(queue="send", chunk=200, retries=4, time_limit=60 * _MINUTE, lanes=True, rank=0)
EVENTS = Step(queue="events", chunk=500, retries=4, time_limit=5 * _MINUTE)
WEBHOOKS = Step(queue="webhooks", chunk=50, retries=4, time_limit=5 * _MINUTE)
INBOUND = Step(queue="inbound", chunk=50, retries=4, time_limit=5 * _MINUTE)
MAINTENANCE = Step(queue="maintenance", chunk=1, retries=0, time_limit=30 * _MINUTE)

STEPS = (SCHEDULE, ASSEMBLE, SEND, EVENTS, WEBHOOKS, INBOUND, MAINTENANCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One waiting queue of the retry ladder, shared by all stages."""

    label: str
    delay: dt.timedelta


LADDER = (
    Rung(label="30s", delay=dt.timedelta(seconds=30)),
    Rung(label="2m", delay=2 * _MINUTE),
    Rung(label="10m", delay=10 * _MINUTE),
    Rung(label="1h", delay=60 * _MINUTE),
)
