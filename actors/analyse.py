"""analyse: fold counter deltas into minute buckets, until none is left."""

from actors import runtime
from actors.declare import tick_actor
from app.analytics import rollups
from app.log import Event, logger
from app.queueing.payloads import TickPayload
from app.queueing.steps import MAINTENANCE


def fold_stats(payload: TickPayload) -> None:
    """Fold batch by batch, each in its own transaction; two at once share the work."""
    folded = rollups.fold(runtime.session())
    total = folded
    while folded == rollups.BATCH:
        folded = rollups.fold(runtime.session())
        total += folded
    if total:
        logger().info(Event.STATS_FOLDED, deltas=total, reason=payload.reason)


tick_actor(MAINTENANCE, fold_stats)
