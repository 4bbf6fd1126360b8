"""housekeep: what nobody finished. Stale chunks are published again, dead leases are settled."""

import datetime as dt

from actors import runtime
from actors.declare import on_boot, tick_actor
from actors.schedule import assemble_message
from app.clock import utc_now
from app.db.session import Session
from app.lifecycle import attempts, chunks
from app.lifecycle.chunks import Chunk, Review
from app.log import Event, logger
from app.queueing.payloads import TickPayload
from app.queueing.steps import MAINTENANCE
from app.sending import settle
from app.smtp import journal

_STALE_AFTER = dt.timedelta(minutes=5)  # several times what a chunk takes on a slow server
_AT_ONCE = 200


def sweep(payload: TickPayload) -> None:
    """Settle journals of dead processes on this host, then look after chunks nobody finished."""
    del payload
    settle_journals()
    # Small chunks come faster than one look every ten seconds takes: as long as looks are full and
    # change something, there is more.
    while sweep_chunks(runtime.session(), _STALE_AFTER) == _AT_ONCE:
        pass


def settle_journals() -> None:
    """Record what dead worker processes of this host did; runs at boot and with every sweep."""
    session = runtime.session()
    for path in journal.dead(runtime.journal_directory()):
        testimony = settle.testimony(path.stem, journal.read(path))
        found = settle.settle(session, testimony, utc_now())
        path.unlink()
        if found:
            logger().warning(Event.JOURNAL_SETTLED, worker=path.stem, **found)


def sweep_chunks(session: Session, age: dt.timedelta) -> int:
    """Close finished chunks, publish stale ones again, settle dead leases; return how many changed.

    Publishing follows the commit: a crash in between only makes the next sweep do it again.
    """
    with session.transaction():
        reviews = chunks.review(session, age=age, limit=_AT_ONCE)
        chunks.close_chunks(session, [r.chunk.id for r in reviews if r.unfinished == 0])
        again = [_revive(session, r) for r in reviews if r.unfinished and r.is_stale and r.queued]
        for r in reviews:
            if r.unfinished and not (r.is_stale and r.queued):
                chunks.correct(session, r.chunk.id, r.unfinished)
            if r.expired:
                _expire(session, r)
    if again:
        runtime.publisher().publish([assemble_message(chunk) for chunk in again])
        logger().warning(Event.CHUNK_REPUBLISHED, chunks=len(again))
    return len(reviews) - sum(_is_held(review) for review in reviews)


def _is_held(review: Review) -> bool:
    """Tell whether a stale chunk is left as it is: a worker still holds its mails."""
    return review.is_stale and review.held == review.unfinished > 0


def _revive(session: Session, review: Review) -> Chunk:
    """Return the chunk with what is still queued of it, noted as published again."""
    chunks.republished(session, review.chunk.id, review.unfinished)
    queued = {str(email_id) for email_id in review.queued}
    payload = dict(review.chunk.payload)
    pairs = zip(payload["email_ids"], payload["lead_ids"], strict=True)
    kept = [pair for pair in pairs if pair[0] in queued]
    payload["email_ids"] = [pair[0] for pair in kept]
    payload["lead_ids"] = [pair[1] for pair in kept]
    return Chunk(
        id=review.chunk.id,
        app_id=review.chunk.app_id,
        account_id=review.chunk.account_id,
        lane=review.chunk.lane,
        payload=payload,
        size=len(kept),
    )


def _expire(session: Session, review: Review) -> None:
    attempts.record(session, settle.lost_with_host(review.expired, utc_now()), review.chunk.id)
    logger().warning(Event.LEASE_EXPIRED, chunk_id=str(review.chunk.id), emails=len(review.expired))


on_boot.append(settle_journals)
tick_actor(MAINTENANCE, sweep)
