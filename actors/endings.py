"""Mails that end before they were sent: stopped with a reason, and their chunk knows it."""

from collections.abc import Sequence
from uuid import UUID

from app.clock import utc_now
from app.db.session import Session
from app.errors import NotFound
from app.lifecycle import chunks, transitions
from app.lifecycle.states import State
from app.log import Event, logger
from app.queueing import dead_letters
from app.queueing.payloads import AssemblePayload, ChunkPayload
from app.sending import letters


def stop(
    session: Session, chunk: ChunkPayload, stops: Sequence[tuple[UUID, str]], target: State
) -> int:
    """Move those (id, reason) that are still queued to `target`; return how many."""
    if not stops:
        return 0
    with session.transaction():
        stopped = _stop(session, chunk, stops, target)
    if stopped:
        logger().info(Event.EMAIL_STOPPED, state=target, emails=stopped, reason=stops[0][1])
    return stopped


def fail_for_want(
    session: Session, chunk: ChunkPayload, ids: Sequence[UUID], gone: NotFound
) -> None:
    """Fail mails whose template version, account or queue was deleted.

    Raises `gone` when any failed, so that the operator gets one dead letter of the message; when it
    or a copy of it comes again nothing waits any more, and nothing is raised.
    """
    if stop(session, chunk, [(email_id, gone.what) for email_id in ids], State.FAILED):
        raise gone


def bury(session: Session, chunk: AssemblePayload, worn_out: Sequence[tuple[UUID, int]]) -> None:
    """Fail mails (id, workers that died of it), each with a dead letter of its own."""
    if not worn_out:
        return
    with session.transaction():
        for email_id, deaths in worn_out:
            letter = letters.of_unassembled(chunk, email_id, deaths, utc_now())
            if _stop(session, chunk, [(email_id, letter.error)], State.FAILED):
                dead_letters.enter(session, letter)
    logger().warning(Event.EMAIL_STOPPED, state=State.FAILED, emails=len(worn_out), reason="poison")


def _stop(
    session: Session, chunk: ChunkPayload, stops: Sequence[tuple[UUID, str]], target: State
) -> int:
    # A copy of the message may be further on: what is being sent is not ours to stop.
    queued = transitions.lock_queued(session, [email_id for email_id, _ in stops])
    stopped = transitions.stop(session, [one for one in stops if one[0] in queued], target)
    chunks.settle(session, chunk.chunk_id, stopped)
    return stopped
