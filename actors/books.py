"""books: what the clock has checked every minute. The ledger balances, or somebody is called."""

from actors import runtime
from actors.declare import tick_actor
from app.clock import utc_now
from app.lifecycle import watch
from app.log import Event, logger
from app.metrics import LEDGER_OFF
from app.queueing.payloads import TickPayload
from app.queueing.steps import MAINTENANCE


def check_books(payload: TickPayload) -> None:
    """Balance the campaigns, batches and apps that changed in the last minutes."""
    del payload
    review = watch.check(runtime.session(), utc_now())
    LEDGER_OFF.set(sum(abs(found.off_by) for found in review.off))
    for found in review.off:
        logger().error(Event.LEDGER_OFF, of=found.kind, id=str(found.id), off_by=found.off_by)


tick_actor(MAINTENANCE, check_books)
