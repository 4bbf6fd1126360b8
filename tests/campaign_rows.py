"""A small campaign whose mails were sent: what reports and hits are about."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session
from tests.factories import (
    default_queue,
    make_account,
    make_app,
    make_campaign,
    make_email,
    make_step,
    make_template_version,
)


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """The ids every mail of the campaign carries."""

    app_id: UUID
    account_id: UUID
    queue_id: UUID
    campaign_id: UUID
    version_id: UUID
    step_ids: list[UUID]


def campaign(session: Session, *, steps: int = 1) -> Campaign:
    """Store an app with one account and a campaign of `steps` steps."""
    app_id = make_app(session).id
    account_id = make_account(session, app_id, address="sender@example.com").id
    version_id = make_template_version(session, app_id)
    campaign_id = make_campaign(session, app_id, account_id=account_id)
    return Campaign(
        app_id=app_id,
        account_id=account_id,
        queue_id=default_queue(session, app_id).id,
        campaign_id=campaign_id,
        version_id=version_id,
        step_ids=[
            make_step(session, campaign_id, position=n, template_version_id=version_id)
            for n in range(1, steps + 1)
        ],
    )


def sent(session: Session, made: Campaign, *addresses: str, at: dt.datetime) -> list[UUID]:
    """Store mails to `addresses` of the first step as sent at `at`; return their ids."""
    return [
        make_email(
            session,
            made.app_id,
            to_email=address,
            account_id=made.account_id,
            queue_id=made.queue_id,
            template_version_id=made.version_id,
            campaign_id=made.campaign_id,
            step_id=made.step_ids[0],
            status="sent",
            claimed_at=at,
            sent_at=at,
        )
        for address in addresses
    ]
