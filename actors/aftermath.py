"""What follows from the outcomes of a micro-batch, in the transaction that records them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.campaigns import sequence
from app.clock import utc_now
from app.config import settings
from app.db.session import Session
from app.lifecycle import attempts
from app.lifecycle.attempts import Outcome
from app.policy import suppression
from app.privacy import address_hash
from app.queueing import dead_letters
from app.queueing.payloads import AssembledMail, SendPayload
from app.sending import letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """A mail that failed although nobody refused it for good: somebody has to look at it."""

    mail: AssembledMail
    outcome: Outcome
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """Mails whose recipients do not exist, and mails that get a dead letter."""

    bounced: tuple[AssembledMail, ...] = ()
    exhausted: tuple[Exhausted, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.bounced or self.exhausted)


def record(
    session: Session, payload: SendPayload, outcomes: Sequence[Outcome], after: Aftermath
) -> None:
    """Record outcomes; suppress who does not exist; bury what is exhausted. A repeat changes nothing."""
    with session.transaction():
        attempts.record(session, outcomes, payload.chunk_id)
        for mail in after.bounced:
            suppress_bounced(session, payload.app_id, mail)
        for one in after.exhausted:
            letter = letters.of_mail(payload, one.mail, one.outcome, one.attempt, utc_now())
            dead_letters.enter(session, letter)


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
