"""housekeep: what nobody finished. Stale chunks are published again, dead leases are settled."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import closing

from actors import runtime
from actors.declare import on_boot, tick_actor
from actors.schedule import assemble_message
from app.clock import monotonic_s, utc_now
from app.config import settings
from app.db.session import Session
from app.errors import PublishUnconfirmed
from app.lifecycle import attempts, chunks
from app.lifecycle.chunks import Chunk, Review
from app.log import Event, logger
from app.queueing import dead_letter_rows, redrive, topology
from app.queueing.depth import DepthGauge
from app.queueing.payloads import TickPayload
from app.queueing.steps import ASSEMBLE, LADDER, MAINTENANCE, SEND
from app.sending import settle
from app.smtp import journal
from app.submission import idempotency
from app.webhooks import deliveries

_STALE_AFTER = dt.timedelta(minutes=5)  # several times what a chunk takes on a slow server
# With nothing in RabbitMQ, a chunk without progress has no message: it was lost or wiped.
_ORPHANED_AFTER = dt.timedelta(seconds=15)
_LOG_KEPT = dt.timedelta(days=30)  # of webhooks; what is not delivered yet stays
_AT_ONCE = 200
_LETTERS_AT_ONCE = 500
_ON_THE_WAY = (
    *ASSEMBLE.queues,
    *SEND.queues,
    *(topology.retry_name(rung) for rung in LADDER),
)


class _OnceAMinute:
    """Whether this process has looked within the last minute (a race only looks twice)."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def is_due(self) -> bool:
        """Tell whether it is time, and note that it is being done."""
        now_s = monotonic_s()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + 60.0
        return True


_letters = _OnceAMinute()


def sweep(payload: TickPayload) -> None:
    """Settle journals of dead processes on this host, then look after chunks nobody finished."""
    del payload
    settle_journals()
    session = runtime.session()
    age = _ORPHANED_AFTER if is_pipeline_empty() else _STALE_AFTER
    # Small chunks come faster than one look every ten seconds takes: as long as looks are full and
    # change something, there is more.
    while sweep_chunks(session, age) == _AT_ONCE:
        pass
    publish_letters(session)
    if _letters.is_due():
        repair_letters(session)
    idempotency.sweep(session, utc_now())
    deliveries.forget(session, utc_now() - _LOG_KEPT)


def settle_journals() -> None:
    """Record what dead worker processes of this host did; runs at boot and with every sweep."""
    session = runtime.session()
    for path in journal.dead(runtime.journal_directory()):
        testimony = settle.testimony(path.stem, journal.read(path))
        found = settle.settle(session, testimony, utc_now())
        path.unlink()
        if found:
            logger().warning(Event.JOURNAL_SETTLED, worker=path.stem, **found)


def publish_letters(session: Session) -> None:
    """Publish dead letters of single mails; a crash before the note only publishes them twice."""
    letters = dead_letter_rows.unpublished(session, _LETTERS_AT_ONCE)
    if letters:
        runtime.publisher().publish([letter.outgoing() for letter in letters])
        dead_letter_rows.mark_published(session, [letter.id for letter in letters])
        logger().warning(Event.DEAD_LETTERS_PUBLISHED, letters=len(letters))


def repair_letters(session: Session) -> None:
    """Write the rows of dead letters that RabbitMQ holds without one.

    RabbitMQ dead-letters by itself what kills its workers, and nobody may have asked for the list.
    """
    known = dead_letter_rows.open_by_queue(session)
    with closing(DepthGauge(settings().rabbitmq_url)) as depths:
        has_more = any(
            depths.ready(topology.dead_queue(queue)) > known.get(queue, 0)
            for queue in topology.WORK_QUEUES
        )
    if has_more:
        with redrive.opened(settings().rabbitmq_url) as channel:
            redrive.repair(channel, session)


def is_pipeline_empty() -> bool:
    """Tell whether no message of a chunk waits anywhere in RabbitMQ; raises DependencyUnavailable."""
    with closing(DepthGauge(settings().rabbitmq_url)) as depths:
        return not any(depths.ready(queue) for queue in _ON_THE_WAY)


def sweep_chunks(session: Session, age: dt.timedelta) -> int:
    """Close finished chunks, publish stale ones again, settle dead leases; return how many changed.

    Publishing follows the commit: a crash in between only makes the next sweep do it again.
    """
    with session.transaction():
        reviews = chunks.review(session, age=age, limit=_AT_ONCE)
        chunks.close_chunks(session, [r.chunk.id for r in reviews if r.unfinished == 0])
        stale = [r for r in reviews if r.unfinished and r.is_stale and r.queued]
        for r in stale:
            chunks.republished(session, r.chunk.id, r.unfinished)
        for r in reviews:
            if r.unfinished and not (r.is_stale and r.queued):
                chunks.correct(session, r.chunk.id, r.unfinished)
            if r.expired:
                _expire(session, r)
    if stale:
        _publish_again(session, stale)
    return len(reviews) - sum(_is_held(review) for review in reviews)


def _is_held(review: Review) -> bool:
    """Tell whether a stale chunk is left as it is: a worker still holds its mails."""
    return review.is_stale and review.held == review.unfinished > 0


def _publish_again(session: Session, stale: Sequence[Review]) -> None:
    again = [piece for review in stale for piece in pieces(review)]
    try:
        runtime.publisher().publish([assemble_message(piece) for piece in again])
    except PublishUnconfirmed:
        chunks.mark_stale(session, [review.chunk.id for review in stale])
        raise
    logger().warning(Event.CHUNK_REPUBLISHED, chunks=len(stale), messages=len(again))


def pieces(review: Review) -> Iterator[Chunk]:
    """Yield what is still queued of a chunk; smaller pieces each time it had to be published again.

    A mail that keeps its message from being finished ends up alone, and its neighbours go on.
    """
    queued = {str(email_id) for email_id in review.queued}
    payload = review.chunk.payload
    pairs = zip(payload["email_ids"], payload["lead_ids"], strict=True)
    kept = [pair for pair in pairs if pair[0] in queued]
    size = max(1, len(kept) >> (2 * review.republished))
    for start in range(0, len(kept), size):
        yield _piece(review.chunk, kept[start : start + size])


def _piece(chunk: Chunk, pairs: list[tuple[str, str | None]]) -> Chunk:
    ids = {"email_ids": [pair[0] for pair in pairs], "lead_ids": [pair[1] for pair in pairs]}
    return Chunk(
        id=chunk.id,
        app_id=chunk.app_id,
        account_id=chunk.account_id,
        lane=chunk.lane,
        payload=chunk.payload | ids,
        size=len(pairs),
    )


def _expire(session: Session, review: Review) -> None:
    attempts.record(session, settle.lost_with_host(review.expired, utc_now()), review.chunk.id)
    logger().warning(Event.LEASE_EXPIRED, chunk_id=str(review.chunk.id), emails=len(review.expired))


on_boot.append(settle_journals)
tick_actor(MAINTENANCE, sweep)
