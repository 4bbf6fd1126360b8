"""schedule: one pass over what is due. Campaigns are advanced, mail is released, chunks published.

Two passes at the same moment are harmless: enrolments and e-mails are claimed with SKIP LOCKED and
guarded updates. What is released is bounded by what is in flight.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from actors import recurring, runtime
from actors.capacity import Survey, survey
from actors.declare import tick_actor
from app.campaigns import campaigns, sequence, windows
from app.clock import monotonic_s, utc_now
from app.config import Settings, settings
from app.db.session import Session
from app.errors import DependencyUnavailable, PublishUnconfirmed
from app.ids import new_id
from app.lifecycle import chunks, epoch, transitions
from app.lifecycle.chunks import Chunk
from app.lifecycle.states import State
from app.log import Event, logger
from app.metrics import EMAILS_IN_FLIGHT, EMAILS_PLANNED, EMAILS_RELEASED, LATENESS_S
from app.queueing.messages import Outgoing, encode
from app.queueing.payloads import AssemblePayload, TickPayload
from app.queueing.steps import ASSEMBLE, SCHEDULE, Lane, lane_of
from app.scheduling import due
from app.scheduling.due import DueAccount, Pick
from app.scheduling.rooms import admit
from app.submission import batch

_EXPAND_S = 3.0  # the rest of the batches comes with the next pass: other mail must not wait
_PASS_S = 20.0  # a pass ends in time for the next tick's facts


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSummary:
    """What one pass did."""

    planned: int
    released: int
    chunks: int
    expired: int
    postponed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What one round of a pass released."""

    chunks: tuple[Chunk, ...]
    expired: int
    postponed: int


def schedule_tick(payload: TickPayload) -> None:
    """Run one pass because the clock, or a person, says so."""
    run_pass(runtime.session(), settings(), reason=payload.reason)


def run_pass(session: Session, config: Settings, *, reason: str) -> PassSummary:
    """Advance campaigns, release what is due, publish it; return and log the summary."""
    if runtime.guard().enter(session) is not None:  # logged once, shown by `mailqueue epoch show`
        return PassSummary(planned=0, released=0, chunks=0, expired=0, postponed=0)
    recurring.run_jobs(session, config)
    planned = advance_campaigns(session, config) + expand_batches(session, config)
    rounds = list(_release_rounds(session, config))
    summary = PassSummary(
        planned=planned,
        released=sum(chunk.size for done in rounds for chunk in done.chunks),
        chunks=sum(len(done.chunks) for done in rounds),
        expired=sum(done.expired for done in rounds),
        postponed=sum(done.postponed for done in rounds),
    )
    EMAILS_PLANNED.inc(summary.planned)
    EMAILS_RELEASED.inc(summary.released)
    if summary.planned or summary.released or summary.expired or reason != "clock":
        logger().info(
            Event.PASS_FINISHED,
            summary=f"Enqueued {summary.released} email jobs",
            reason=reason,
            planned=summary.planned,
            chunks=summary.chunks,
            expired=summary.expired,
            postponed=summary.postponed,
        )
    return summary


def advance_campaigns(session: Session, config: Settings) -> int:
    """Start campaigns whose time has come, plan due steps, close what is done; return planned."""
    now = utc_now()
    campaigns.start_due(session, now)
    planned = 0
    ends_at = monotonic_s() + _PASS_S / 2
    while monotonic_s() < ends_at:
        step = sequence.plan_due(session, now, config.release_batch)
        planned += step
        if step < config.release_batch:
            break
    campaigns.finish_campaigns(session, now)
    return planned


def expand_batches(session: Session, config: Settings) -> int:
    """Plan the mails of accepted batches for a few seconds; return planned."""
    pepper = config.address_pepper.get_secret_value()
    return batch.expand_open(session, pepper, utc_now(), _EXPAND_S)


def _release_rounds(session: Session, config: Settings) -> Iterator[Released]:
    ends_at = monotonic_s() + _PASS_S
    while monotonic_s() < ends_at:
        try:
            done = release_from(session, config, due.accounts(session), config.release_batch)
        except DependencyUnavailable as error:
            # What is released now could only wait on the ladder: in the row it goes at once.
            logger().warning(Event.DEPENDENCY_LOST, dependency="redis", error=str(error))
            return
        if not (done.chunks or done.expired or done.postponed):
            return
        yield done


def release_from(
    session: Session, config: Settings, accounts: Sequence[DueAccount], most: int
) -> Released:
    """Release at most `most` due mails of these accounts, as limits and stages allow; publish them.

    Raises DependencyUnavailable (Redis); then nothing was released.
    """
    flying, by_account = chunks.in_flight(session)
    EMAILS_IN_FLIGHT.set(flying)
    limit = min(most, config.in_flight_limit - flying)
    if limit <= 0 or not accounts:
        return Released(chunks=(), expired=0, postponed=0)
    found = survey(session, config, accounts, by_account, limit)
    done = _release(session, accounts, found, config.chunk_size)
    _publish(session, done.chunks)
    return done


def _release(
    session: Session,
    accounts: Sequence[DueAccount],
    found: Survey,
    chunk_size: int,
) -> Released:
    """Pick, sort out and release in one transaction of four round trips; messages follow its commit."""
    now = utc_now()
    with session.pipeline(), session.transaction():
        picks = due.pick(session, accounts, found.rooms, found.openings.total)
        expired = {p.email_id for p in picks if p.expires_at and p.expires_at <= now}
        late = {p.email_id for p in picks if p.window_closes_at and p.window_closes_at <= now}
        late -= expired
        transitions.stop(
            session, [(i, "expired before it was sent") for i in expired], State.EXPIRED
        )
        going, moves = admit(_without(picks, expired | late), found.openings, now)
        moves += windows.reopen(session, sorted(late), now)
        transitions.reschedule(session, moves)
        made = tuple(_chunked(going, chunk_size))
        if made:
            chunks.open_chunks(session, made)
        transitions.release(session, [pick.email_id for pick in going])
        mark = epoch.advance(session) if made else None
    runtime.guard().remember(mark)
    if going:
        oldest = min(pick.due_at for pick in going)
        LATENESS_S.observe(max(0.0, (now - oldest).total_seconds()))
    return Released(chunks=made, expired=len(expired), postponed=len(moves))


def _without(picks: Iterable[Pick], ids: set[UUID]) -> list[Pick]:
    return [pick for pick in picks if pick.email_id not in ids]


def _chunked(picks: Sequence[Pick], size: int) -> Iterator[Chunk]:
    """Group mails that share lane, content and route, in the order they were picked.

    A mail whose worker died goes alone: if it is what ended it, its neighbours go on without it.
    """
    groups: dict[tuple[object, ...], list[Pick]] = defaultdict(list)
    for p in picks:
        route = (p.app_id, p.queue_id, p.account_id, p.template_version_id)
        suspect = p.email_id if p.starts else None
        groups[lane_of(p.priority), *route, p.campaign_id, p.step_id, p.look, suspect].append(p)
    for group in groups.values():
        for start in range(0, len(group), size):
            yield _chunk(group[start : start + size])


def _chunk(picks: Sequence[Pick]) -> Chunk:
    first = picks[0]
    chunk_id, lane = new_id(), lane_of(first.priority)
    payload = AssemblePayload(
        chunk_id=chunk_id,
        lane=lane,
        app_id=first.app_id,
        queue_id=first.queue_id,
        account_id=first.account_id,
        template_version_id=first.template_version_id,
        message_id=first.message_id,
        campaign_id=first.campaign_id,
        step_id=first.step_id,
        email_ids=[pick.email_id for pick in picks],
        lead_ids=[pick.lead_id for pick in picks],
    )
    return Chunk(
        id=chunk_id,
        app_id=first.app_id,
        account_id=first.account_id,
        lane=lane,
        payload=payload.model_dump(mode="json"),
        size=len(picks),
    )


def assemble_message(chunk: Chunk) -> Outgoing:
    """Return the assemble message of a released chunk."""
    lane = Lane(chunk.lane)
    payload = AssemblePayload.model_validate(chunk.payload)
    return encode(f"assemble_{lane}", ASSEMBLE.queue_for(lane), payload)


def _publish(session: Session, released: Sequence[Chunk]) -> None:
    if not released:
        return
    try:
        runtime.publisher().publish([assemble_message(chunk) for chunk in released])
    except PublishUnconfirmed as error:
        # The rows are the outbox: the sweeper publishes these chunks again.
        chunks.mark_stale(session, [chunk.id for chunk in released])
        logger().warning(Event.DEPENDENCY_LOST, dependency="rabbitmq", error=str(error))


tick_actor(SCHEDULE, schedule_tick)
