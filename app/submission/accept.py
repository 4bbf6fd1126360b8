"""One e-mail is taken: in one short transaction it is checked, stored and planned.

A row stands for each envelope recipient. Who is suppressed gets their row, too, in that state:
reported, never silently dropped. The message has the id of its first row, so that one id names the
whole submission (app/submission/lookup).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session
from app.errors import InputInvalid
from app.ids import new_ids
from app.lifecycle.intake import PlannedMail
from app.lifecycle.states import State
from app.submission import contents
from app.submission.contents import Sheet
from app.submission.desk import Desk, Submitter
from app.submission.mails import SUPPRESSED, Common, Recipient, mails_of, plan_mails
from app.submission.route import Route, contents_of, routes_of
from app.submission.schemas import Email


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One e-mail and who submits it."""

    who: Submitter
    order: Email


def accept(session: Session, who: Submitter, order: Email, desk: Desk) -> Accepted:
    """Store one e-mail: as accept_all."""
    return accept_all(session, [Submission(who=who, order=order)], desk)[0]


def accept_all(session: Session, submissions: Sequence[Submission], desk: Desk) -> list[Accepted]:
    """Store e-mails of one app and plan a mail for each of their recipients: all or none.

    Call inside a transaction. Raises InputInvalid, TemplateInvalid, Conflict, Forbidden for the
    first that is refused; then nothing is to be kept.
    """
    app_id, orders = submissions[0].who.app_id, [one.order for one in submissions]
    routes = routes_of(session, submissions[0].who, orders, desk)
    versions = contents_of(session, app_id, orders, desk)
    taken = [
        _taken(*parts, desk.pepper) for parts in zip(submissions, routes, versions, strict=True)
    ]
    with session.pipeline():  # the writes share two round trips
        contents.store(session, app_id, [one.sheet for one in taken])
        stopped = plan_mails(session, app_id, [mail for one in taken for mail in one.mails])
    return [_accepted(one, stopped) for one in taken]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What becomes of one submission: its message, and a mail for each recipient."""

    sheet: Sheet
    common: Common
    kinds: list[str]
    recipients: list[Recipient]
    mails: list[PlannedMail]


def _taken(submission: Submission, route: Route, version_id: UUID, pepper: str) -> _Taken:
    who, order = submission.who, submission.order
    everybody = order.recipients()
    ids = [UUID(text) for text in new_ids(len(everybody), who.now)]
    sheet = Sheet(
        message_id=ids[0],
        who=who,
        order=order,
        route=route,
        version_id=version_id,
        recipients=len(everybody),
    )
    common, values = common_of(sheet), order.values()
    recipients = [
        Recipient(id=each, email=party.email, name=party.name, variables=values)
        for each, (_, party) in zip(ids, everybody, strict=True)
    ]
    mails = mails_of(common, recipients, pepper)
    kinds = [kind for kind, _ in everybody]
    return _Taken(sheet=sheet, common=common, kinds=kinds, recipients=recipients, mails=mails)


def _accepted(taken: _Taken, stopped: set[UUID]) -> Accepted:
    sheet = taken.sheet
    copies = [
        _copy(one, kind, is_stopped=one.id in stopped)
        for one, kind in zip(taken.recipients, taken.kinds, strict=True)
    ]
    return Accepted(
        id=sheet.message_id,
        queue_id=sheet.route.queue_id,
        queue=sheet.route.queue,
        account_id=sheet.route.account_id,
        due_at=taken.common.due_at,
        copies=tuple(copies),
    )


def common_of(sheet: Sheet) -> Common:
    """Return what the mails of a submission have in common; raises InputInvalid (expires_at)."""
    who, order, route = sheet.who, sheet.order, sheet.route
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
        priority=order.priority or route.priority,
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
