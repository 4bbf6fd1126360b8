"""An erasure waits for who writes of the person at that very moment, and finds what was written."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.campaigns import sequence
from app.db.session import connect
from app.errors import Conflict
from app.gdpr import requests
from app.gdpr.requests import Request
from app.lifecycle import attempts
from tests.campaigns.conftest import wait_for_lock
from tests.factories import AUTHOR
from tests.stack import ADDRESS_PEPPER


def erase(house, database: str, email: str) -> Request:
    with connect(database) as own, own.transaction():
        return requests.erase(own, house.app_id, email, ADDRESS_PEPPER, AUTHOR)


@pytest.fixture
def email(house) -> str:
    """Of the only person, who takes part in a campaign."""
    house.leads(1)
    house.start()
    return house.value("SELECT email FROM leads")


def test_a_mail_that_is_just_being_planned_is_erased_too(house, database, email):
    with ThreadPoolExecutor() as threads, connect(database) as worker:
        with worker.transaction():
            assert sequence.plan_due(worker, house.now, 10) == 1
            asked = threads.submit(erase, house, database, email)
            wait_for_lock(database, asked)
        receipt = asked.result(60).receipt
    assert (receipt["leads"], receipt["emails"]) == (1, 1)
    assert house.rows("SELECT to_email, status FROM emails") == [("erased", "suppressed")]


def test_a_mail_that_is_just_being_claimed_has_to_arrive_first(house, database, email):
    sequence.plan_due(house.session, house.now, 10)
    email_id = house.value("UPDATE emails SET status = 'queued', due_at = NULL RETURNING id")
    with ThreadPoolExecutor() as threads, connect(database) as worker:
        with worker.transaction():
            assert attempts.claim(worker, [email_id], "worker")
            asked = threads.submit(erase, house, database, email)
            wait_for_lock(database, asked)
        with pytest.raises(Conflict, match="is being sent"):
            asked.result(60)
    assert house.rows("SELECT to_email, status FROM emails") == [(email, "sending")]
