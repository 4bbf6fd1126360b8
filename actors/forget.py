"""forget: what queues still hold of erased people is looked through until it is gone."""

from actors import runtime
from actors.declare import tick_actor
from app.clock import utc_now
from app.config import settings
from app.gdpr import queues
from app.log import Event, logger
from app.queueing.payloads import TickPayload
from app.queueing.steps import MAINTENANCE


def forget(payload: TickPayload) -> None:
    """Go on with the erasures under way."""
    del payload
    now = settings()
    pepper = now.address_pepper.get_secret_value()
    finished = queues.sweep(runtime.session(), now.rabbitmq_url, pepper, utc_now())
    if finished:
        logger().info(Event.PERSON_FORGOTTEN, erasures=finished)


tick_actor(MAINTENANCE, forget)
