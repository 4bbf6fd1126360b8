"""retain: once an hour, what is past its time goes: months to the archive, the rest row by row."""

import datetime as dt

from actors import runtime
from actors.declare import tick_actor
from app.audit import Author
from app.clock import utc_now
from app.config import settings
from app.errors import Conflict
from app.log import Event, logger
from app.queueing.payloads import TickPayload
from app.queueing.steps import MAINTENANCE
from app.retention import run
from app.retention.run import Order

_CLOCK = Author(name="clock")
_LONGEST = dt.timedelta(minutes=10)


def retain(payload: TickPayload) -> None:
    """Let go what is past its time, for ten minutes at most; what is left is the next hour's."""
    del payload
    now = settings()
    order = Order(
        author=_CLOCK, folder=now.archive_dir, rabbitmq_url=now.rabbitmq_url, longest=_LONGEST
    )
    try:
        lines = run.run(runtime.session(), utc_now(), order)
    except Conflict:
        return  # another worker, or a person, is at it
    for line in lines:
        facts = {"table": line.table, "partition": line.partition, "app": line.app}
        logger().info(
            Event.RETENTION_APPLIED, rows=line.rows, action=line.action, why=line.why, **facts
        )


tick_actor(MAINTENANCE, retain)
