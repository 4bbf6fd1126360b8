"""Mails that are already released when their campaign is halted."""

import contextlib
import threading

import pytest

from app.campaigns import campaigns, halts, sequence
from app.db import session as db
from app.ids import new_id
from app.lifecycle import transitions


@pytest.fixture
def released(house):
    """The campaign's id and the ids of its two released mails."""
    house.leads(2)
    campaign_id = house.start().id
    sequence.plan_due(house.session, house.now, 2)
    ids = [mail.id for mail in house.mails()]
    transitions.release(house.session, ids)
    return campaign_id, ids


def states(house):
    return set(house.rows("SELECT status, reason FROM emails"))


def test_mails_of_a_running_campaign_go_on(house, released):
    campaign_id, ids = released
    assert not halts.halt(house.session, campaign_id, new_id(), ids)
    assert states(house) == {("queued", None)}


def test_released_mails_of_a_paused_campaign_are_parked(house, released):
    campaign_id, ids = released
    house.do(campaigns.pause)
    assert halts.halt(house.session, campaign_id, new_id(), ids)
    assert states(house) == {("scheduled", "campaign paused")}
    house.do(campaigns.resume)
    assert house.value("SELECT count(*) FROM emails WHERE due_at < 'infinity'") == 2


def test_mails_deferred_while_their_campaign_was_cancelled_are_cancelled(house, released):
    campaign_id, ids = released
    transitions.hold_back(house.session, ids, due_at=house.now, reason="451 later")
    house.session.execute("UPDATE campaigns SET status = 'cancelled' WHERE id = %s", (campaign_id,))
    transitions.release(house.session, ids)
    assert halts.halt(house.session, campaign_id, new_id(), ids)
    assert states(house) == {("cancelled", "campaign cancelled")}


def test_a_campaign_that_is_resumed_meanwhile_leaves_no_mail_parked(house, released, database):
    campaign_id, ids = released
    house.do(campaigns.pause)
    with contextlib.closing(db.connect(database)) as worker:
        halted = []
        halting = threading.Thread(
            target=lambda: halted.append(halts.halt(worker, campaign_id, new_id(), ids))
        )
        with house.session.transaction():
            house.do(campaigns.resume)
            halting.start()
            halting.join(0.5)
            assert halting.is_alive()  # it saw the pause, and waits for the resume to end
        halting.join(10)
    assert halted == [False]
    assert states(house) == {("queued", None)}
