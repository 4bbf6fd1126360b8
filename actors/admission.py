"""What the limits let through of one micro-batch, asked before anything is claimed.

Redis away raises DependencyUnavailable: the chunk goes to the ladder, its rows stay queued.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from actors import runtime
from actors.waiting import patiently
from app.clock import monotonic_s, utc_now
from app.config import settings
from app.errors import DependencyUnavailable
from app.log import Event, logger
from app.policy.limits import LONGEST_SPREAD, Grant, Limit, Reservation
from app.policy.throttle import Pace
from app.queueing.payloads import AssembledMail
from app.sending.counted import others_under_way, recent_attempts, usage
from app.sending.route import Route
from app.smtp.connection import Stage
from app.smtp.transaction import Attempt, Verdict

_STALE = "claimed too long after the limits were asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A mail that may not go now, when it may ask again, and which limit said so."""

    mail: AssembledMail
    due_at: dt.datetime
    reason: str


def requested(
    route: Route, lot: Sequence[AssembledMail], paces: Mapping[str, Pace], now: dt.datetime
) -> Reservation:
    """Return what a micro-batch asks for: of a slowed domain no more than its connections.

    A sender's connections each carry one mail at a time, so a micro-batch with so few mails of a
    domain uses no more connections for it.
    """
    wanted = Counter(mail.domain for mail in lot)
    for domain in wanted.keys() & paces.keys():
        wanted[domain] = min(wanted[domain], paces[domain].connections)
    return Reservation(
        app_id=route.app_id,
        queue_id=route.queue_id,
        account_id=route.account_id,
        limits=route.limits(now.date()),
        domains=wanted,
        app_limits=route.app_limits,
        queue_per_minute=route.queue_per_minute,
        global_per_minute=settings().global_per_minute or None,
        domain_limits={domain: pace.per_minute for domain, pace in paces.items()},
    )


def reserve(request: Reservation, chunk_id: UUID) -> Grant:
    """Reserve slots; cold counts are first rebuilt from PostgreSQL.

    After Redis was lost, another chunk may hold a grant it has not claimed yet, which no count
    shows. Then nothing is granted until such grants are void.
    """
    limiter = runtime.limiter()
    grant = limiter.reserve(request)
    for _ in range(2):  # the account's counts, the app's
        if not grant.is_cold or not (grant.is_settled or _is_alone(request, chunk_id)):
            break
        _seed(request, grant)
        grant = limiter.reserve(request)
    return grant


def _is_alone(request: Reservation, chunk_id: UUID) -> bool:
    return not patiently(lambda session: others_under_way(session, request.app_id, chunk_id))


def _seed(request: Reservation, grant: Grant) -> None:
    app_id, account_id = request.app_id, request.account_id
    if grant.binding is Limit.APP_COLD:
        found = patiently(lambda session: usage(session, app_id))
        runtime.limiter().seed_app(app_id, found, epoch=grant.epoch)
    else:
        counts = patiently(lambda session: recent_attempts(session, app_id, account_id))
        runtime.limiter().seed(account_id, counts, epoch=grant.epoch)


def divided(
    lot: Sequence[AssembledMail], grant: Grant, paces: Mapping[str, Pace]
) -> tuple[list[AssembledMail], list[Held]]:
    """Return the mails that may go, and the others with the time the limiter named."""
    if grant.granted == len(lot):
        return list(lot), []
    left = dict(grant.by_domain)
    going: list[AssembledMail] = []
    waiting: list[Held] = []
    for mail in lot:
        if left.get(mail.domain, 0) > 0:
            left[mail.domain] -= 1
            going.append(mail)
        elif grant.binding is None or grant.next_slot_at is None:
            due_at = utc_now() + _turn(paces[mail.domain])
            waiting.append(Held(mail=mail, due_at=due_at, reason=f"limit {Limit.DOMAIN}"))
        else:
            due_at, reason = grant.next_slot_at, f"limit {grant.binding}"
            waiting.append(Held(mail=mail, due_at=due_at, reason=reason))
    return going, waiting


def _turn(pace: Pace) -> dt.timedelta:
    """Return how long the connections of a domain are busy at its pace."""
    return min(dt.timedelta(minutes=1) * pace.connections / pace.per_minute, LONGEST_SPREAD)


def is_void(request: Reservation, grant: Grant) -> bool:
    """Tell whether a claim came so late that a rebuilt Redis may not know of it: do not send."""
    is_counted = not request.limits.is_unlimited or request.app_limits.has_quota
    return is_counted and monotonic_s() > grant.usable_until_s


def untried(count: int) -> list[Attempt]:
    """Return what becomes of claimed mails whose grant is void: back, without an attempt."""
    attempt = Attempt(verdict=Verdict.UNTRIED, code=0, text=_STALE, stage=Stage.LOCAL)
    return [attempt] * count


def settle(route: Route, request: Reservation, grant: Grant, left: Sequence[AssembledMail]) -> None:
    """Move the minimum gap past the server's answer; put back what never reached it (`left`)."""
    limiter = runtime.limiter()
    try:
        if left:
            limiter.give_back(request, grant, Counter(mail.domain for mail in left))
        elif route.min_gap_ms:
            limiter.sent(route.account_id, route.min_gap_ms)
    except DependencyUnavailable as error:
        logger().warning(Event.DEPENDENCY_LOST, dependency="redis", error=str(error))
