"""The rows of a submission's mails: one for each envelope recipient, the suppressed ones stopped."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db.session import Session
from app.lifecycle import transitions
from app.lifecycle.intake import PlannedMail, plan
from app.lifecycle.states import State
from app.mail.address import domain_of
from app.policy.suppression import suppressed
from app.privacy import address_hash

SUPPRESSED = "the recipient is on the suppression list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all mails of one submission have in common. `due_at` and `expires_at` are UTC."""

    app_id: UUID
    queue_id: UUID
    account_id: UUID
    version_id: UUID
    message_id: UUID
    priority: int
    due_at: dt.datetime
    expires_at: dt.datetime | None = None
    batch_id: UUID | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One envelope recipient; the address is in its one spelling."""

    id: UUID
    email: str
    name: str | None
    variables: dict[str, Any]


def mails_of(common: Common, recipients: Sequence[Recipient], pepper: str) -> list[PlannedMail]:
    """Return a mail for each of `recipients`."""
    return [_mail(common, each, address_hash(each.email, pepper)) for each in recipients]


def plan_mails(session: Session, app_id: UUID, mails: Sequence[PlannedMail]) -> set[UUID]:
    """Plan mails of one app; return the ids of those whose recipients are suppressed.

    Those have their row, too, in that state. Call inside a transaction.
    """
    shunned = suppressed(session, app_id, [mail.to_hash for mail in mails])
    plan(session, mails)
    stopped = {UUID(mail.id) for mail in mails if mail.to_hash in shunned}
    transitions.stop(session, [(each, SUPPRESSED) for each in stopped], State.SUPPRESSED)
    return stopped


def _mail(common: Common, one: Recipient, digest: bytes) -> PlannedMail:
    return PlannedMail(
        id=one.id.hex,
        app_id=common.app_id,
        queue_id=common.queue_id,
        account_id=common.account_id,
        template_version_id=common.version_id,
        to_email=one.email,
        to_name=one.name,
        to_domain=domain_of(one.email),
        to_hash=digest,
        variables=one.variables,
        due_at=common.due_at,
        priority=common.priority,
        batch_id=common.batch_id,
        message_id=common.message_id,
        expires_at=common.expires_at,
        request_id=common.request_id,
    )
