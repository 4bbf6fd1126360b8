"""Dead letters of single mails: attempts exhausted, or workers that died of them.

The row is written with the outcome and the sweeper publishes it to dlq.send.<lane>: its message is
a send message of this one mail, so a person can read and retry it like any other dead letter.
"""

import datetime as dt
from uuid import UUID, uuid5

from app.ids import new_id
from app.lifecycle.attempts import Outcome
from app.queueing.dead_letters import DeadLetter, clipped, fingerprint
from app.queueing.messages import encode
from app.queueing.payloads import AssembledMail, AssemblePayload, SendPayload
from app.queueing.steps import ASSEMBLE, SEND

EXHAUSTED = "AttemptsExhausted"
POISONED = "PoisonMessage"
_NAMESPACE = UUID("0197f3c2-6f0a-7b51-9d3e-2f4c8a6b1e71")


def of_mail(
    payload: SendPayload, mail: AssembledMail, outcome: Outcome, attempt: int, now: dt.datetime
) -> DeadLetter:
    """Return the dead letter of a mail that failed; the same outcome gives the same letter."""
    queue = SEND.queue_for(payload.lane)
    actor = f"send_{payload.lane}"
    name = EXHAUSTED if outcome.code else POISONED
    reason = outcome.reason or ""
    alone = SendPayload.model_construct(**payload.model_dump(exclude={"mails"}), mails=[mail])
    return DeadLetter(
        id=uuid5(_NAMESPACE, f"{outcome.email_id} {outcome.fence}"),
        queue=queue,
        actor=actor,
        body=encode(actor, queue, alone).body,
        reason="exhausted: no attempt of this mail is left" if outcome.code else "poison message",
        error_class=name,
        error=clipped(reason),
        failed_at=now,
        fingerprint=fingerprint(name, reason, str(outcome.code)),
        attempts=attempt,
        app_id=payload.app_id,
    )


def of_unassembled(
    payload: AssemblePayload, email_id: UUID, deaths: int, now: dt.datetime
) -> DeadLetter:
    """Return the dead letter of a mail whose workers died while they assembled it."""
    queue = ASSEMBLE.queue_for(payload.lane)
    actor = f"assemble_{payload.lane}"
    leads = dict(zip(payload.email_ids, payload.lead_ids, strict=False))
    alone = payload.model_copy(
        update={"email_ids": [email_id], "lead_ids": [leads.get(email_id)]},
    )
    reason = f"local: poison message: {deaths} workers died while they assembled this mail"
    return DeadLetter(
        id=new_id(),
        queue=queue,
        actor=actor,
        body=encode(actor, queue, alone).body,
        reason="poison message",
        error_class=POISONED,
        error=reason,
        failed_at=now,
        fingerprint=fingerprint(POISONED, reason, ""),
        attempts=deaths,
        app_id=payload.app_id,
    )
