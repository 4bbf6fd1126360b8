"""A desk that takes submissions as the API's edge does, and an app with a sender."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from app.assembly.contents import versions_for
from app.clock import utc_now
from app.db.session import Session
from app.submission.accept import Accepted, accept
from app.submission.batch import AcceptedBatch, accept_batch
from app.submission.desk import Desk, NewSender, Submitter
from app.submission.schemas import Batch, Email
from tests.factories import AUTHOR, PEPPER, make_account, make_app

MAIL = {
    "from": "sender@example.org",
    "to": ["ana@example.com"],
    "subject": "Hello",
    "html": "<p>Hello</p>",
}


def open_account(session: Session, sender: NewSender) -> UUID:
    return make_account(
        session, sender.app_id, address=sender.address, display_name=sender.display_name
    ).id


DESK = Desk(store_contents=versions_for, open_account=open_account, pepper=PEPPER)


@pytest.fixture
def app_id(session: Session) -> UUID:
    return make_app(session).id


@pytest.fixture
def who(app_id: UUID) -> Callable[..., Submitter]:
    def make(**fields: Any) -> Submitter:
        return Submitter(**({"app_id": app_id, "author": AUTHOR, "now": utc_now()} | fields))

    return make


@pytest.fixture
def submit(session: Session, who: Callable[..., Submitter]) -> Callable[..., Accepted]:
    """Takes one e-mail; `fields` as in the payload, over a plain one."""

    def take(**fields: Any) -> Accepted:
        order = Email.model_validate(MAIL | fields)
        with session.transaction():
            return accept(session, who(), order, DESK)

    return take


@pytest.fixture
def submit_batch(session: Session, who: Callable[..., Submitter]) -> Callable[..., AcceptedBatch]:
    """Takes a batch for these addresses."""

    def take(addresses: list[Any], **fields: Any) -> AcceptedBatch:
        shared = {name: value for name, value in MAIL.items() if name != "to"}
        emails = [each if isinstance(each, dict) else {"to": each} for each in addresses]
        order = Batch.model_validate(shared | {"emails": emails} | fields)
        with session.transaction():
            return accept_batch(session, who(), order, DESK)

    return take
