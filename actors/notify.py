"""notify: make deliveries of what happened, and take them to the apps' webhooks.

A tick fans out and sends one message for each endpoint with something due; that message serves the
endpoint alone, over a few connections. The first failure of an endpoint ends its turn.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from actors import runtime
from actors.declare import stage_actor, tick_actor
from app.clock import monotonic_s, utc_now
from app.config import settings
from app.db.session import Session
from app.log import Event, logger
from app.queueing.messages import encode
from app.queueing.payloads import EndpointPayload, TickPayload
from app.queueing.steps import WEBHOOKS
from app.secretbox import SecretBox
from app.webhooks import dispatch, fanout, wire
from app.webhooks.destination import Reach
from app.webhooks.dispatch import Post, Target
from app.webhooks.retries import Reply

CONNECTIONS = 8
_TURN_S = 20.0
_FAN_OUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What opens the endpoints' secrets, and where they may lead."""

    box: SecretBox
    reach: Reach


def tell(payload: TickPayload) -> None:
    """Fan out what was noted, and have the endpoints served that have something due."""
    del payload
    session = runtime.session()
    ends_at_s = monotonic_s() + _FAN_OUT_S
    while fanout.fan_out(session) == fanout.BATCH and monotonic_s() < ends_at_s:
        pass
    found = dispatch.take(session, utc_now())
    if found:
        runtime.publisher().publish(
            [encode("serve", WEBHOOKS.queue, EndpointPayload(endpoint_id=each)) for each in found]
        )


def serve(payload: EndpointPayload) -> None:
    """Deliver what is due to one endpoint, for a while; then let others have the thread."""
    session = runtime.session()
    means = Means(box=runtime.surroundings().secretbox, reach=Reach.of(settings()))
    ends_at_s = monotonic_s() + _TURN_S
    delivered = 0
    try:
        while monotonic_s() < ends_at_s:
            done = serve_once(session, means, payload.endpoint_id, utc_now())
            delivered += done
            if not done:
                break
    finally:
        dispatch.release(session, payload.endpoint_id)
    if delivered:
        logger().info(
            Event.WEBHOOKS_DELIVERED, endpoint_id=str(payload.endpoint_id), delivered=delivered
        )


def serve_once(session: Session, means: Means, endpoint_id: UUID, now: dt.datetime) -> int:
    """Claim one round of deliveries, send them side by side, record them; return the successes.

    Nothing more is sent in the round once the endpoint itself has failed.
    """
    target = dispatch.target(session, means.box, endpoint_id, now)
    if target is None:
        return 0
    # One at first when it has failed before: what is down need not hear from eight at once.
    posts = dispatch.claim(session, endpoint_id, now, 1 if target.failures else WEBHOOKS.chunk)
    delivered, tried = 0, 0
    for wave in _waves(posts, CONNECTIONS):
        replies = _sent(means.reach, target, wave, now)
        tried += len(wave)
        for post, reply in zip(wave, replies, strict=True):
            dispatch.record(session, target, post, reply, now)
            delivered += reply.is_success
        if any(reply.is_endpoints_fault or reply.is_gone for reply in replies):
            break
    dispatch.give_back(session, posts[tried:], now)
    return delivered


def _waves(posts: Sequence[Post], width: int) -> Iterator[Sequence[Post]]:
    for start in range(0, len(posts), width):
        yield posts[start : start + width]


def _sent(reach: Reach, target: Target, wave: Sequence[Post], now: dt.datetime) -> list[Reply]:
    def send(post: Post) -> Reply:
        return wire.post(target.url, target.headers(post, now), post.body, reach)

    if len(wave) == 1:
        return [send(wave[0])]
    with ThreadPoolExecutor(len(wave)) as threads:
        return list(threads.map(send, wave))


tick_actor(WEBHOOKS, tell)
stage_actor(WEBHOOKS, None, serve, EndpointPayload)
