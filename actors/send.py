"""send: the protocol of DESIGN section 7, for one chunk of one SMTP account.

admit (one Lua call) -> claim -> submit -> record, in micro-batches: the commit that records batch k
claims batch k + 1. No transaction is open while a server is asked, no lease is held while a limit
is waited for, and nothing that fails after a mail was accepted leads back into the retry path.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import replace

from actors import endings, runtime
from actors.content import Letter, letter, sheet_of
from actors.declare import lane_actors
from actors.delivery import Delivery
from actors.files import FILES
from actors.rehearsal import Rehearsal
from actors.waiting import patiently
from app.campaigns import halts
from app.clock import monotonic_s, utc_now
from app.db.session import Session
from app.errors import NotFound
from app.log import Event, logger
from app.queueing.payloads import AssembledMail, SendPayload
from app.queueing.steps import SEND
from app.sending import route as routes
from app.sending.route import Route

_ROUTE_AGE_S = 2.0  # limits change while a campaign runs: they hold within seconds
_PAUSED_FOR = dt.timedelta(minutes=1)
_SLOW_FOR = dt.timedelta(minutes=1)
_PATIENCE_S = 5.0  # how long a thread waits for its turn at a server that answers

_routes: dict[tuple[object, object], tuple[float, Route]] = {}


def send(payload: SendPayload) -> None:
    """Send one chunk's mails as far as limits and server allow; safe to run twice."""
    try:
        _send(payload)
    except NotFound as gone:
        ids = [mail.email_id for mail in payload.mails]
        endings.fail_for_want(runtime.session(), payload, ids, gone)


def can_begin(payload: SendPayload) -> bool:
    """Tell whether this process may send at once: it reads the lane, and the server has room."""
    if not runtime.reads(SEND.queue_for(payload.lane)):
        return False
    try:
        route = _route(payload)
    except NotFound:
        return True  # to try it is to say so
    return runtime.turnstile().has_room(_door(route))


def _send(payload: SendPayload) -> None:
    session = runtime.session()
    route = _route(payload)
    content = _with_files(session, payload)
    courier = Rehearsal if content.is_simulated else Delivery
    delivery = courier(payload, route, content, lambda: _read_route(payload))
    if payload.campaign_id and halts.halt(
        session, payload.campaign_id, payload.chunk_id, [mail.email_id for mail in payload.mails]
    ):
        return
    if runtime.guard().closed(session) is not None:
        reason = "sending is quarantined: mailqueue epoch show"
        delivery.hold_back(payload.mails, utc_now() + _PAUSED_FOR, reason)
        return
    if not route.is_open or route.held_for:
        reason = route.held_for or "the account, its queue or its app is paused"
        delivery.hold_back(payload.mails, utc_now() + _PAUSED_FOR, reason)
        return
    if content.is_simulated:
        _send_lots(payload, route, delivery)
        return
    with runtime.turnstile().passing(_door(route), _PATIENCE_S) as may_pass:
        if may_pass:
            _send_lots(payload, route, delivery)
        else:
            reason = "the SMTP server is slow; other mail goes first"
            delivery.hold_back(payload.mails, utc_now() + _SLOW_FOR, reason)
    logger().debug(Event.CHUNK_SENT, chunk_id=str(payload.chunk_id), **delivery.tally)


def _with_files(session: Session, payload: SendPayload) -> Letter:
    """Return the letter with its files: they wait in PostgreSQL and in this process's cache."""
    found = letter(session, sheet_of(payload))
    if not found.files:
        return found
    return replace(found, bodies=tuple(FILES.bodies(session, payload.app_id, found.files)))


def _send_lots(payload: SendPayload, route: Route, delivery: Delivery) -> None:
    answered = 0
    try:
        for lot in _lots(payload.mails, 1 if route.min_gap_ms else route.micro_batch):
            delivery.send(lot)
            if delivery.answered > answered:
                answered = delivery.answered
                runtime.turnstile().moved(_door(route))
    finally:
        delivery.record()
        if delivery.gate.has_moved:
            _routes.pop((payload.account_id, payload.queue_id), None)


def _door(route: Route) -> tuple[object, ...]:
    """Return what may hang: a host, for one login; tenants of a provider do not share a fate."""
    return route.server.host, route.server.port, route.server.username


def _route(payload: SendPayload) -> Route:
    """Return the route, read anew every two seconds (a dict: a race only reads it twice)."""
    key = (payload.account_id, payload.queue_id)
    now = monotonic_s()
    found = _routes.get(key)
    if found is not None and now - found[0] < _ROUTE_AGE_S:
        return found[1]
    return _read_route(payload)


def _read_route(payload: SendPayload) -> Route:
    account_id, queue_id = payload.account_id, payload.queue_id
    around = runtime.surroundings()
    route = patiently(lambda session: routes.load(session, account_id, queue_id, around))
    _routes[account_id, queue_id] = (monotonic_s(), route)
    return route


def _lots(mails: Sequence[AssembledMail], size: int) -> Iterator[Sequence[AssembledMail]]:
    for start in range(0, len(mails), size):
        yield mails[start : start + size]


ACTORS = lane_actors(SEND, send, SendPayload)
