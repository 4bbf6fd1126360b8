"""How e-mails come into being: planned in bulk, counted in the same transaction."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from app.db.session import Session
from app.lifecycle.events import Delta, count


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedMail:
    """One e-mail to be: one envelope recipient, its content, its route and its time.

    `id` is a UUIDv7 as 32 hex digits; `due_at` inside a sending window that ends at
    `window_closes_at` (None = always open).
    """

    id: str
    app_id: UUID
    queue_id: UUID
    account_id: UUID
    template_version_id: UUID
    to_email: str
    to_domain: str
    to_hash: bytes
    variables: Mapping[str, Any]
    due_at: dt.datetime
    priority: int = 5
    to_name: str | None = None
    company_id: UUID | None = None
    campaign_id: UUID | None = None
    step_id: UUID | None = None
    enrolment_id: UUID | None = None
    lead_id: UUID | None = None
    batch_id: UUID | None = None
    message_id: UUID | None = None
    window_closes_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    request_id: str | None = None


_COPY = """
COPY emails (id, app_id, company_id, queue_id, account_id, template_version_id, campaign_id,
  step_id, enrolment_id, lead_id, batch_id, message_id, to_email, to_name, to_domain, to_hash,
  variables, priority, status, due_at, window_closes_at, expires_at, request_id) FROM STDIN"""


def plan(session: Session, mails: Sequence[PlannedMail]) -> int:
    """Store `mails` as scheduled; return how many. All or none: call inside a transaction."""
    with session.cursor() as cursor, cursor.copy(_COPY) as copy:
        for m in mails:
            copy.write_row(
                (
                    *(m.id, m.app_id, m.company_id, m.queue_id, m.account_id),
                    *(m.template_version_id, m.campaign_id, m.step_id, m.enrolment_id, m.lead_id),
                    *(m.batch_id, m.message_id, m.to_email, m.to_name, m.to_domain, m.to_hash),
                    *(orjson.dumps(m.variables).decode(), m.priority, "scheduled", m.due_at),
                    *(m.window_closes_at, m.expires_at, m.request_id),
                )
            )
    count(session, (_planned(mail) for mail in mails))
    return len(mails)


def _planned(mail: PlannedMail) -> Delta:
    return Delta(
        app_id=mail.app_id,
        queue_id=mail.queue_id,
        campaign_id=mail.campaign_id,
        step_id=mail.step_id,
        account_id=mail.account_id,
        kind="planned",
    )
