"""track: record what the tracking routes saw, and stop the sequences of who unsubscribed."""

from actors import runtime
from actors.declare import stage_actor
from app.campaigns import sequence
from app.engagement.record import record
from app.log import Event, logger
from app.queueing.payloads import HitsPayload
from app.queueing.steps import EVENTS


def record_hits(payload: HitsPayload) -> None:
    """Record one message of hits in one transaction; a second run adds nothing."""
    session = runtime.session()
    with session.transaction():
        done = record(session, payload.hits)
        stopped = sum(
            sequence.stop_lead(session, person.app_id, person.to_hash, "unsubscribe")
            for person in done.unsubscribed
        )
    logger().info(
        Event.HITS_RECORDED,
        hits=done.hits,
        new=done.new,
        dropped=done.dropped,
        unsubscribed=len(done.unsubscribed),
        enrolments_stopped=stopped,
    )


stage_actor(EVENTS, None, record_hits, HitsPayload)
