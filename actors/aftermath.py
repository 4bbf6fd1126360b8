"""What follows from the outcomes of a micro-batch, in the transaction that records them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from actors.content import Letter
from actors.simulated import Rehearsed, delta_of, follow
from app.campaigns import sequence
from app.clock import utc_now
from app.config import settings
from app.db.session import Session
from app.lifecycle import attempts, copies, events
from app.lifecycle.attempts import Outcome
from app.lifecycle.states import State
from app.mail.headers import date_value
from app.policy import pacing, suppression
from app.privacy import address_hash
from app.queueing import dead_letters
from app.queueing.payloads import AssembledMail, SendPayload
from app.sending import letters
from app.sending.outcome import Claimed, block_of, is_exhausted, is_hard_bounce
from app.smtp.transaction import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One mail of a micro-batch, what its attempt came to and what that makes of it."""

    mail: AssembledMail
    held: Claimed
    result: Attempt
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """Mails whose recipients do not exist, mails refused for another reason, dead letters to be.

    `blocked` are refusals for a policy, `blamed` those of them that are about the sender.
    `copies` are (id, bytes) of mails that an app keeps, `rehearsed` what was only simulated.
    """

    bounced: tuple[AssembledMail, ...] = ()
    blocked: tuple[Done, ...] = ()
    blamed: frozenset[UUID] = frozenset()
    exhausted: tuple[Done, ...] = ()
    rehearsed: tuple[Rehearsed, ...] = ()
    copies: tuple[tuple[UUID, bytes], ...] = ()

    def __bool__(self) -> bool:
        answers = self.bounced or self.blocked or self.exhausted
        return bool(answers or self.rehearsed or self.copies)


def of(done: Sequence[Done], letter: Letter) -> Aftermath:
    """Return what follows from a micro-batch that a server answered."""
    signs = [(one, block_of(one.result, one.mail.to)) for one in done]
    return Aftermath(
        bounced=tuple(one.mail for one in done if is_hard_bounce(one.result)),
        blocked=tuple(one for one, sign in signs if sign is not None),
        blamed=frozenset(one.mail.email_id for one, sign in signs if sign),
        exhausted=tuple(one for one in done if is_exhausted(one.result, one.outcome)),
        copies=copies_of(done, letter),
    )


def copies_of(done: Sequence[Done], letter: Letter) -> tuple[tuple[UUID, bytes], ...]:
    """Return what was sent, for an app that keeps it."""
    if not letter.keeps_content:
        return ()
    return tuple(
        (one.mail.email_id, letter.copy(one.mail.slots, date_value(one.held.first_claimed_at)))
        for one in done
        if one.outcome.target is State.SENT
    )


def record(
    session: Session, payload: SendPayload, outcomes: Sequence[Outcome], after: Aftermath
) -> None:
    """Record outcomes; suppress who does not exist; bury what is exhausted. A repeat changes nothing."""
    with session.transaction():
        moved = attempts.record(session, outcomes, payload.chunk_id)
        follow(session, payload, [one for one in after.rehearsed if one.email_id in moved])
        copies.keep(session, payload.app_id, after.copies)
        _hold_against(session, payload, after, moved)
        for mail in after.bounced:
            suppress_bounced(session, payload.app_id, mail)
        for one in after.exhausted:
            letter = letters.of_mail(payload, one.mail, one.outcome, one.held.attempt, utc_now())
            dead_letters.enter(session, letter)


def _hold_against(
    session: Session, payload: SendPayload, after: Aftermath, moved: set[UUID]
) -> None:
    """Count refusals against the sender, and slow the domains that block its mail."""
    counts = {
        "refused": sum(mail.email_id in moved for mail in after.bounced),
        "rejected": sum(one.mail.email_id in moved for one in after.blocked),
        "blocked": len(after.blamed & moved),
    }
    events.count(session, (delta_of(payload, kind, n) for kind, n in counts.items() if n))
    replies = {
        one.mail.domain: f"{one.result.code} {one.result.text}"
        for one in after.blocked
        if one.mail.email_id in moved
    }
    if replies:
        pacing.slow(session, payload.app_id, replies, utc_now())


def suppress_bounced(session: Session, app_id: UUID, mail: AssembledMail) -> None:
    """Suppress a recipient that a server says does not exist, and stop its sequences."""
    hashed = address_hash(mail.to, settings().address_pepper.get_secret_value())
    entry = suppression.Suppression(
        app_id=app_id,
        email_hash=hashed,
        email=mail.to,
        reason=suppression.Reason.HARD_BOUNCE,
        source=str(mail.email_id),
    )
    suppression.add_all(session, [entry])
    sequence.stop_lead(session, app_id, hashed, "hard_bounce")
