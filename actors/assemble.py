"""assemble: who really gets the mail, with which words. Decided here, said in slots, not in bytes.

Reads the chunk's rows once, stops the suppressed and the unrenderable with their reason, and hands
the rest on as encoded slots of the compiled template version. Writes only what it stops.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from actors import endings, runtime, send, trial
from actors.content import Letter, letter, sheet_of
from actors.declare import lane_actors, stage_limit
from app.assembly.compose import Recipient
from app.assembly.recipients import Waiting, waiting
from app.campaigns import halts
from app.clock import utc_now
from app.db.session import Session
from app.errors import InputInvalid, MissingVariables, NotFound
from app.lifecycle import chunks, transitions
from app.lifecycle.states import State
from app.log import Event, logger
from app.mail.verp import AddressUse
from app.queueing.messages import encode
from app.queueing.payloads import AssembledMail, AssemblePayload, SendPayload
from app.queueing.steps import ASSEMBLE, SEND
from app.sending.simulation import is_suppressed

# A message stays small enough for RabbitMQ to keep many of them in memory.
_MESSAGE_CHARACTERS = 256_000
# Where a message's own header says something that no mail can carry.
_OF_MESSAGE = ("headers.", "to", "cc", "reply_to")


def assemble(payload: AssemblePayload) -> None:
    """Turn one released chunk into send messages; safe to run twice."""
    session = runtime.session()
    if payload.campaign_id and halts.halt(
        session, payload.campaign_id, payload.chunk_id, payload.email_ids
    ):
        return
    ids, around = payload.email_ids, trial.unnoted
    if trial.is_redelivered():
        # What its worker's death has led into another chunk goes with that, and is charged there.
        ids, around = chunks.released_with(session, payload.chunk_id, ids), trial.noted
    if not ids:
        return
    with around(ids) as worn_out:
        endings.bury(session, payload, worn_out)
        people = waiting(session, ids)
        # What was stopped since its release counts as finished, or it would fill the space in flight.
        left = len(payload.email_ids) - len(worn_out) - len(people)
        chunks.settle(session, payload.chunk_id, left)
        _hand_back(session, payload, [person.email_id for person in people if person.is_late])
        going = [person for person in people if not person.is_late]
        content = _content(session, payload, going)
    if content is not None:
        _write(session, payload, content, going, around)


def _content(
    session: Session, payload: AssemblePayload, people: Sequence[Waiting]
) -> Letter | None:
    """Return what the mails say; None when nobody waits for it. Raises NotFound when it is gone."""
    if not people:
        return None
    try:
        return letter(session, sheet_of(payload))
    except NotFound as gone:
        endings.fail_for_want(session, payload, [person.email_id for person in people], gone)
    except InputInvalid as error:
        if not _is_of_message(payload, error):
            raise
        stops = [(person.email_id, _reason(error)) for person in people]
        endings.stop(session, payload, stops, State.FAILED)
    return None


def _write(
    session: Session,
    payload: AssemblePayload,
    content: Letter,
    people: Sequence[Waiting],
    around: Callable[[Sequence[UUID]], AbstractContextManager[trial.WornOut]],
) -> None:
    """Write each mail, `around` saying that it is in work; stop those nobody may or can get."""
    mails: list[AssembledMail] = []
    suppressed: list[tuple[UUID, str]] = []
    unrenderable: list[tuple[UUID, str]] = []
    for person in people:
        if person.is_suppressed or (content.is_simulated and is_suppressed(person.to_email)):
            suppressed.append((person.email_id, "the recipient is on the suppression list"))
            continue
        with around([person.email_id]):
            try:
                mails.append(_assembled(payload, content, person))
            except InputInvalid as error:
                unrenderable.append((person.email_id, _reason(error)))
    endings.stop(session, payload, suppressed, State.SUPPRESSED)
    endings.stop(session, payload, unrenderable, State.FAILED)
    _hand_on(payload, mails)


def _is_of_message(payload: AssemblePayload, error: InputInvalid) -> bool:
    """Tell whether a submitted message itself cannot be written: no retry would change that."""
    return payload.message_id is not None and (error.field or "").startswith(_OF_MESSAGE)


def _hand_back(session: Session, payload: AssemblePayload, late: Sequence[UUID]) -> None:
    """Return what is late to the schedule: the next pass postpones or expires it."""
    if not late:
        return
    with session.transaction():
        back = transitions.hold_back(session, late, due_at=utc_now(), reason="released too late")
        chunks.settle(session, payload.chunk_id, back)


def _assembled(payload: AssemblePayload, content: Letter, person: Waiting) -> AssembledMail:
    keys, coded = runtime.token_keys(), runtime.coded_domain()
    unsubscribes = coded and content.compiled.unsubscribes
    leave = coded.address(AddressUse.UNSUBSCRIBE, person.email_id) if coded and unsubscribes else ""
    reply = (
        coded.address(AddressUse.REPLY, person.email_id) if coded and content.codes_replies else ""
    )
    recipient = Recipient(
        to=person.to_email,
        to_name=person.to_name,
        email_id=person.email_id,
        mail_token=keys.mail_token(person.email_id, payload.app_id),
        unsubscribe_token=keys.unsubscribe_token(person.email_id, payload.app_id),
        variables=person.variables,
        unsubscribe_mailto=leave,
        reply_to=reply,
    )
    return AssembledMail(
        email_id=person.email_id, to=person.to_email, slots=content.compiled.slots(recipient)
    )


def _reason(error: InputInvalid) -> str:
    if isinstance(error, MissingVariables):
        return f"missing variables: {', '.join(error.names)}"
    return str(error)


def _hand_on(payload: AssemblePayload, mails: Sequence[AssembledMail]) -> None:
    """Publish what is assembled for the send stage; send the last part here where that may begin.

    A hop over RabbitMQ costs a single mail some 10 ms. What fails here is a failure of this message:
    it comes again, and finds the mails that are still queued.
    """
    shared = payload.model_dump(exclude={"email_ids", "lead_ids"})
    parts = [SendPayload.model_construct(**shared, mails=part) for part in _parts(mails)]
    here = parts.pop() if parts and send.can_begin(parts[-1]) else None
    queue = SEND.queue_for(payload.lane)
    runtime.publisher().publish([encode(f"send_{payload.lane}", queue, part) for part in parts])
    logger().debug(Event.CHUNK_ASSEMBLED, chunk_id=str(payload.chunk_id), emails=len(mails))
    if here is not None:
        stage_limit.begin(SEND)
        send.send(here)


def _parts(mails: Sequence[AssembledMail]) -> Iterator[list[AssembledMail]]:
    """Split by number and by size: one mail larger than the limit travels alone."""
    part: list[AssembledMail] = []
    size = 0
    for mail in mails:
        length = sum(map(len, mail.slots))
        if part and (len(part) >= SEND.chunk or size + length > _MESSAGE_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(mail)
        size += length
    if part:
        yield part


ACTORS = lane_actors(ASSEMBLE, assemble, AssemblePayload)
