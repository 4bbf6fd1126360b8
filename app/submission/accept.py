"""One e-mail is taken: in one short transaction it is checked, stored and planned.

A row stands for each envelope recipient. Who is suppressed gets their row, too, in that state:
reported, never silently dropped. The message has the id of its first row, so that one id names the
whole submission (app/submission/lookup).
"""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session
from app.errors import InputInvalid
from app.ids import new_ids
from app.lifecycle.states import State
from app.submission import contents
from app.submission.contents import Sheet
from app.submission.desk import Desk, Submitter
from app.submission.mails import SUPPRESSED, Common, Recipient, plan_mails
from app.submission.route import Route, content_of, route_of
from app.submission.schemas import Email, Shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One envelope recipient of an accepted e-mail; `kind` is to, cc or bcc."""

    id: UUID
    email: str
    name: str | None
    kind: str
    state: State
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An e-mail that was taken; `id` is that of its first copy."""

    id: UUID
    queue_id: UUID
    queue: str
    account_id: UUID
    due_at: dt.datetime
    copies: tuple[Copy, ...]


def accept(session: Session, who: Submitter, order: Email, desk: Desk) -> Accepted:
    """Store one e-mail and plan a mail for each of its recipients. Call inside a transaction.

    Raises InputInvalid, TemplateInvalid, Conflict, Forbidden; then nothing is to be kept.
    """
    route = route_of(session, who, order, desk)
    everybody = order.recipients()
    ids = [UUID(text) for text in new_ids(len(everybody), who.now)]
    sheet = Sheet(
        message_id=ids[0],
        version_id=content_of(session, who.app_id, order, desk),
        recipients=len(everybody),
    )
    common = common_of(who, order, route, sheet)
    values = order.values()
    recipients = [
        Recipient(id=each, email=party.email, name=party.name, variables=values)
        for each, (_, party) in zip(ids, everybody, strict=True)
    ]
    with session.pipeline():  # the writes share two round trips
        contents.store(session, who, order, route, sheet)
        stopped = plan_mails(session, common, recipients, desk.pepper)
    copies = [
        _copy(one, kind, is_stopped=one.id in stopped)
        for one, (kind, _) in zip(recipients, everybody, strict=True)
    ]
    return Accepted(
        id=ids[0],
        queue_id=route.queue_id,
        queue=route.queue,
        account_id=route.account_id,
        due_at=common.due_at,
        copies=tuple(copies),
    )


def common_of(who: Submitter, order: Shared, route: Route, sheet: Sheet) -> Common:
    """Return what the mails of a submission have in common; raises InputInvalid (expires_at)."""
    ends_at = order.ends_at()
    if ends_at is not None and ends_at <= who.now:
        raise InputInvalid(
            "The mail has expired already.",
            why=f"It expires at {ends_at:%Y-%m-%d %H:%M:%S} UTC.",
            fix="Leave expires_at out, or give a time to come.",
            field="expires_at",
        )
    return Common(
        app_id=who.app_id,
        queue_id=route.queue_id,
        account_id=route.account_id,
        version_id=sheet.version_id,
        message_id=sheet.message_id,
        priority=route.priority,
        due_at=order.due_at(who.now),
        expires_at=ends_at,
        request_id=who.request_id,
    )


def _copy(one: Recipient, kind: str, *, is_stopped: bool) -> Copy:
    return Copy(
        id=one.id,
        email=one.email,
        name=one.name,
        kind=kind,
        state=State.SUPPRESSED if is_stopped else State.SCHEDULED,
        reason=SUPPRESSED if is_stopped else None,
    )
