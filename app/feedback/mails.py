"""The mail an answer is about, and the line its timeline gets: once, however often it is told."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db.session import Session
from app.lifecycle import events, unknowns
from app.lifecycle.events import Delta, TimelineEvent
from app.lifecycle.states import State
from app.lifecycle.unknowns import Decision
from app.policy import suppression
from app.policy.suppression import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What the effects of an answer need of the mail it answers."""

    id: UUID
    app_id: UUID
    queue_id: UUID
    campaign_id: UUID | None
    step_id: UUID | None
    account_id: UUID
    to_email: str
    to_domain: str
    to_hash: bytes
    state: State


_FIND = """
SELECT id, app_id, queue_id, campaign_id, step_id, account_id, to_email, to_domain, to_hash, status
FROM emails WHERE id = %s"""


def find(session: Session, email_id: UUID) -> Mail | None:
    """Return a mail; None when retention has deleted it."""
    row = session.execute(_FIND, (email_id,)).fetchone()
    if row is None:
        return None
    return Mail(
        id=row[0],
        app_id=row[1],
        queue_id=row[2],
        campaign_id=row[3],
        step_id=row[4],
        account_id=row[5],
        to_email=row[6],
        to_domain=row[7],
        to_hash=bytes(row[8]),
        state=State(row[9]),
    )


_OWN = """
SELECT id FROM emails
WHERE id = ANY(%(ids)b) AND id BETWEEN %(low)b AND %(high)b AND app_id = %(app)s"""


def own(session: Session, app_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Return those of `ids` that are mails of this app (primary key)."""
    if not ids:
        return set()
    binds = {"ids": list(ids), "low": min(ids), "high": max(ids), "app": app_id}
    return {row[0] for row in session.execute(_OWN, binds).fetchall()}


def suppress(session: Session, mail: Mail, reason: Reason) -> Reason:
    """Suppress a mail's recipient in its app; return the reason."""
    source = f"email {mail.id}"
    suppression.add(
        session, mail.app_id, mail.to_hash, email=mail.to_email, reason=reason, source=source
    )
    return reason


def prove_sent(session: Session, mail: Mail) -> None:
    """End the doubt about an unknown mail: who answers at its coded address was sent it."""
    if mail.state is State.UNKNOWN:
        unknowns.decide(session, [mail.id], Decision.ASSUME_SENT, "an answer to it came back")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a timeline; a mail has one per type and `key`."""

    type: str
    at: dt.datetime
    data: Mapping[str, Any]
    key: str = ""


def note(session: Session, mail: Mail, line: Line) -> bool:
    """Append a line to the mail's timeline; tell whether it is new."""
    event = TimelineEvent(
        email_id=mail.id,
        event_id=uuid.uuid5(mail.id, line.type + line.key),
        app_id=mail.app_id,
        type=line.type,
        data=line.data,
        at=line.at,
    )
    return bool(events.append(session, [event]))


def count(session: Session, mail: Mail, kind: str) -> None:
    """Count one more of `kind` for the mail's campaign, step and account."""
    delta = Delta(
        app_id=mail.app_id,
        queue_id=mail.queue_id,
        campaign_id=mail.campaign_id,
        step_id=mail.step_id,
        account_id=mail.account_id,
        kind=kind,
    )
    events.count(session, [delta])
