"""What follows a simulated mail, in the transaction that records its outcome.

Nobody real is behind it: nothing is suppressed, no sequence stops. Its attempts are counted once
more as `simulated`, so that limits rebuilt from counts leave them out, and what they came to as
`simulated_sent` and so on, so that no sender is judged by it.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.clock import utc_now
from app.db.session import Session
from app.engagement.record import rehearse
from app.lifecycle import events, evidence
from app.lifecycle.events import Delta, TimelineEvent
from app.lifecycle.states import State
from app.queueing.payloads import Hit, SendPayload
from app.sending.simulation import HOST, Evidence

_STATES = {
    Evidence.DELIVERED: State.DELIVERED,
    Evidence.BOUNCED: State.BOUNCED,
    Evidence.COMPLAINED: State.COMPLAINED,
}
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) Simulator/1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """A simulated mail whose attempt counts, and what is learnt of it; `link` = the first one."""

    email_id: UUID
    is_sent: bool
    evidence: tuple[Evidence, ...]
    link: tuple[int, str] | None


def follow(session: Session, payload: SendPayload, mails: Sequence[Rehearsed]) -> None:
    """Let happen what the recipients wished for. Call it with mails whose outcome was recorded."""
    if not mails:
        return
    sent = sum(mail.is_sent for mail in mails)
    counts = [delta_of(payload, "simulated", len(mails)), delta_of(payload, "simulated_sent", sent)]
    for kind, state in _STATES.items():
        ids = [mail.email_id for mail in mails if kind in mail.evidence]
        moved = evidence.learn(session, ids, state)
        counts.append(delta_of(payload, f"simulated_{state}", len(moved)))
        events.append(session, [_event(payload, one, state) for one in ids if one in moved])
    events.count(session, (delta for delta in counts if delta.n))
    hits = [_hit(mail, kind) for mail in mails for kind in mail.evidence if kind not in _STATES]
    if hits:
        rehearse(session, hits)


def delta_of(payload: SendPayload, kind: str, n: int) -> Delta:
    """Return `n` more of `kind` along the dimensions of a chunk."""
    return Delta(
        app_id=payload.app_id,
        queue_id=payload.queue_id,
        campaign_id=payload.campaign_id,
        step_id=payload.step_id,
        account_id=payload.account_id,
        kind=kind,
        n=n,
    )


def _event(payload: SendPayload, email_id: UUID, state: State) -> TimelineEvent:
    return TimelineEvent(
        email_id=email_id,
        event_id=uuid.uuid5(email_id, f"simulated {state}"),
        app_id=payload.app_id,
        type=str(state),
        data={"source": HOST},
        at=utc_now(),
    )


def _hit(mail: Rehearsed, kind: Evidence) -> Hit:
    link, url = mail.link or (None, None)
    is_click = kind is Evidence.CLICKED
    return Hit(
        event_id=uuid.uuid5(mail.email_id, f"simulated {kind}"),
        email_id=mail.email_id,
        kind=str(kind),
        at_ms=int(utc_now().timestamp() * 1000),
        link=link if is_click else None,
        url=url if is_click else None,
        user_agent=_AGENT,
    )
