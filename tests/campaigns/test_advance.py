import datetime as dt
from collections import Counter
from uuid import UUID, uuid4

import pytest

from app.campaigns.advance import (
    FIRST_LOOK,
    HOLD,
    RECHECK,
    RECHECK_LONGEST,
    Enrolled,
    Later,
    Next,
    Plan,
    Previous,
    Step,
    Stop,
    Variant,
    advance,
    due_after,
    snapshot,
    variant_for,
)
from app.ids import new_id, new_ids
from app.lifecycle.states import State
from app.scheduling.calendar import Window

NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)  # a Monday
DAY = dt.timedelta(days=1)
ACCOUNTS = (uuid4(), uuid4())


def step(wait=DAY, weights=(1,)):
    variants = tuple(Variant(template_version_id=uuid4(), weight=weight) for weight in weights)
    return Step(id=uuid4(), wait=wait, variants=variants)


def plan(**fields):
    given = {
        "campaign_id": uuid4(),
        "app_id": uuid4(),
        "company_id": None,
        "queue_id": uuid4(),
        "priority": 7,
        "window": Window(),
        "timezone": "UTC",
        "uses_lead_timezone": True,
        "steps": (step(), step()),
        "accounts": ACCOUNTS,
    }
    return Plan(**given | fields)


def enrolled(**fields):
    given = {
        "id": uuid4(),
        "campaign_id": uuid4(),
        "lead_id": new_id(),
        "account_id": ACCOUNTS[0],
        "steps_planned": 0,
        "last_email_id": None,
        "due_at": NOW,
        "email": "ana@example.org",
        "email_hash": b"hash",
        "timezone": None,
        "variables": {"firstName": "Ana", "last_name": "Sol"},
        "lead_status": "active",
    }
    return Enrolled(**given | fields)


def go(lead=None, campaign=None, previous=None, now=NOW):
    return advance(lead or enrolled(), campaign or plan(), previous, new_ids(1, now)[0], now)


def mail_before(state, sent_at=None, due_at=None):
    return Previous(state=State(state), sent_at=sent_at, due_at=due_at)


def test_the_first_mail_is_due_now():
    campaign = plan()
    move = go(campaign=campaign)
    assert (move.mail.due_at, move.mail.window_closes_at) == (NOW, None)
    assert (move.mail.priority, move.mail.step_id) == (7, campaign.steps[0].id)
    assert move.mail.to_name == "Ana Sol"
    assert move.look_at == NOW + DAY


def test_the_last_step_is_not_looked_after():
    move = go(enrolled(steps_planned=1, last_email_id=uuid4()), previous=None)
    assert move.look_at is None


def test_a_step_without_wait_is_looked_after_shortly():
    move = go(campaign=plan(steps=(step(), step(wait=dt.timedelta(0)))))
    assert move.look_at == NOW + FIRST_LOOK


@pytest.mark.parametrize("state", ["scheduled", "queued", "sending"])
def test_a_waiting_mail_is_waited_for(state):
    assert due_after(mail_before(state), DAY, NOW, NOW) == Later(at=NOW + RECHECK)


def test_a_mail_that_is_late_is_looked_at_ever_less():
    looked_at = NOW - dt.timedelta(minutes=2)
    assert due_after(mail_before("queued"), DAY, looked_at, NOW).at == NOW + dt.timedelta(minutes=1)
    assert due_after(mail_before("queued"), DAY, NOW - DAY, NOW).at == NOW + RECHECK_LONGEST


def test_a_mail_due_tomorrow_is_looked_at_tomorrow():
    previous = mail_before("scheduled", due_at=NOW + DAY)
    assert due_after(previous, DAY, NOW, NOW) == Later(at=NOW + DAY)


def test_an_unknown_mail_holds_the_sequence():
    assert due_after(mail_before("unknown"), DAY, NOW, NOW) == Later(at=NOW + HOLD)


@pytest.mark.parametrize("state", ["sent", "delivered"])
def test_the_wait_counts_from_the_moment_of_sending(state):
    sent = mail_before(state, sent_at=NOW - DAY / 2)
    assert due_after(sent, DAY, NOW, NOW) == Later(at=NOW + DAY / 2)
    assert due_after(sent, DAY / 4, NOW, NOW) == NOW - DAY / 4


@pytest.mark.parametrize(
    "state", ["failed", "bounced", "complained", "cancelled", "suppressed", "expired"]
)
def test_a_mail_that_did_not_arrive_ends_the_sequence(state):
    assert due_after(mail_before(state), DAY, NOW, NOW) == Stop(
        reason=f"the mail before was {state}"
    )


def test_a_lead_that_left_gets_no_mail():
    assert go(enrolled(lead_status="unsubscribed")) == Stop(reason="lead unsubscribed")


def test_a_mail_waits_for_the_window_in_the_leads_timezone():
    window = Window(start=dt.time(9), end=dt.time(17))
    campaign = plan(window=window, timezone="Europe/Berlin")
    tokyo = enrolled(timezone="Asia/Tokyo")  # 21:00 there
    assert go(tokyo, campaign).mail.due_at == dt.datetime(2026, 3, 3, 0, tzinfo=dt.UTC)
    assert go(enrolled(), campaign).mail.due_at == NOW
    own = plan(window=window, timezone="Europe/Berlin", uses_lead_timezone=False)
    move = go(tokyo, own)
    assert move.mail.due_at == NOW
    assert move.mail.window_closes_at == dt.datetime(2026, 3, 2, 16, tzinfo=dt.UTC)


def test_a_wait_across_a_clock_change_keeps_the_local_hour():
    window = Window(start=dt.time(9), end=dt.time(10))
    campaign = plan(window=window, timezone="Europe/Berlin")
    friday = dt.datetime(2026, 3, 28, 8, tzinfo=dt.UTC)  # 09:00, the clocks change that night
    lead = enrolled(steps_planned=1, last_email_id=uuid4())
    move = go(lead, campaign, mail_before("sent", sent_at=friday - DAY), now=friday + DAY / 2)
    assert move.mail.due_at == dt.datetime(2026, 3, 29, 7, tzinfo=dt.UTC)


def test_a_lead_keeps_its_account_while_it_is_active():
    assert go().mail.account_id == ACCOUNTS[0]
    other = go(enrolled(account_id=uuid4()))
    assert other.mail.account_id in ACCOUNTS


def test_without_an_active_account_the_mail_waits():
    assert go(campaign=plan(accounts=())) == Later(at=NOW + HOLD)


def test_variants_share_the_leads_by_weight_and_stay_with_them():
    both = step(weights=(3, 1))
    leads = [UUID(text) for text in new_ids(4_000, NOW)]
    chosen = Counter(variant_for(both, lead).template_version_id for lead in leads)
    assert 2_800 < chosen[both.variants[0].template_version_id] < 3_200
    assert all(variant_for(both, lead) is variant_for(both, lead) for lead in leads[:10])


def test_the_variants_of_two_steps_are_independent():
    first, second = step(weights=(1, 1)), step(weights=(1, 1))
    leads = [UUID(text) for text in new_ids(4_000, NOW)]
    pairs = Counter(
        (
            first.variants.index(variant_for(first, lead)),
            second.variants.index(variant_for(second, lead)),
        )
        for lead in leads
    )
    assert min(pairs.values()) > 800


@pytest.mark.parametrize("spelling", ["first_name", "firstName"])
def test_both_spellings_of_a_name_are_there(spelling):
    seen = snapshot("a@x.org", {spelling: "Ana", "plan": "pro"})
    assert seen == {"first_name": "Ana", "firstName": "Ana", "plan": "pro", "email": "a@x.org"}


def test_every_state_of_the_mail_before_is_decided():
    for state in State:
        assert due_after(mail_before(state, sent_at=NOW), DAY, NOW, NOW) is not None


def test_a_move_is_a_mail_only_when_it_is_due():
    lead = enrolled(steps_planned=1, last_email_id=uuid4())
    assert isinstance(go(lead, previous=mail_before("sent", NOW - 2 * DAY)), Next)
    assert isinstance(go(lead, previous=mail_before("sent", NOW)), Later)
