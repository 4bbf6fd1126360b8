"""What happened to a mail, in seed 003's words: queued, processing, sent, delivered, opened, ...

Some facts stand on the row, the others are events (app/lifecycle/events); here they are one list.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db.session import Session
from app.lifecycle.events import TimelineEvent, timeline
from app.lifecycle.states import STOPPED, State
from app.submission.lookup import Mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that happened to a mail; `at` None: the moment was not kept."""

    email_id: UUID
    event: str
    at: dt.datetime | None
    data: Mapping[str, Any]


_VERDICTS = {"accepted": "sent", "refused": "failed"}


def lines_of(session: Session, mail: Mail) -> list[Line]:
    """Return the timeline of a mail, oldest first; what has no time comes last."""
    found = [*_of_row(mail), *_of_events(timeline(session, mail.id))]
    said = {line.event for line in found}
    if mail.state is State.SENT and "sent" not in said:
        found.append(_line(mail, "sent", mail.sent_at, {"code": mail.smtp_code}))
    if mail.state in STOPPED and str(mail.state) not in said:
        at = mail.created_at if _is_born_stopped(mail) else None
        found.append(_line(mail, str(mail.state), at, {"reason": mail.reason}))
    return sorted(found, key=lambda line: (line.at is None, line.at or mail.created_at))


def _is_born_stopped(mail: Mail) -> bool:
    """Tell whether no stage ever saw the mail: its submission found the recipient suppressed."""
    return mail.state is State.SUPPRESSED and mail.queued_at is None


def _of_row(mail: Mail) -> Iterator[Line]:
    due = mail.due_at.isoformat() if mail.due_at else None
    yield _line(mail, "queued", mail.created_at, {"scheduled_at": due} if due else {})
    if mail.claimed_at is not None:
        yield _line(mail, "processing", mail.claimed_at, {})


def _of_events(events: list[TimelineEvent]) -> Iterator[Line]:
    for event in events:
        if event.type.startswith("first_"):  # a marker of the counters, not something that happened
            continue
        word = event.type
        if word == "attempt":
            verdict = str(event.data.get("verdict", ""))
            word = _VERDICTS.get(verdict, verdict or "attempt")
        yield Line(email_id=event.email_id, event=word, at=event.at, data=event.data)


def _line(mail: Mail, event: str, at: dt.datetime | None, data: Mapping[str, Any]) -> Line:
    kept = {name: value for name, value in data.items() if value is not None}
    return Line(email_id=mail.id, event=event, at=at, data=kept)
