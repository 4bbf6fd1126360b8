"""Send to exactly those who did not get it."""

import datetime as dt
import threading

import pytest

from app.campaigns import campaigns, sequence
from app.campaigns.rest import send_rest
from app.db import session as db
from app.errors import Conflict
from app.lifecycle import events, ledger
from app.policy import suppression
from app.policy.suppression import Reason
from app.privacy import address_hash
from tests.factories import AUTHOR, PEPPER

HOUR = dt.timedelta(hours=1)
TWO = "[{template: one}, {template: two, wait_duration_hours: 1}]"


def plan(house, now=None):
    return sequence.plan_due(house.session, now or house.now, 1_000)


def end(house, **states):
    """Give each mail that waits the state named for its recipient, `sent` when none is."""
    for mail in house.mails():
        if mail.status not in ("scheduled", "queued"):
            continue
        status = states.get(mail.to_email.partition("@")[0], "sent")
        house.session.execute(
            "UPDATE emails SET status = %s, due_at = NULL, sent_at = CASE WHEN %s = 'sent' "
            "THEN now() END, reason = %s WHERE id = %s",
            (status, status, f"it {status}", mail.id),
        )


def finish(house):
    plan(house, house.now + HOUR)
    assert campaigns.finish_campaigns(house.session, house.now + HOUR) == 1


def rest(house, now=None):
    return house.do(send_rest, now=now or house.now + 2 * HOUR)


def got(house):
    """Who has which step, and how often."""
    return sorted((m.to_email, m.position) for m in house.mails() if m.status == "sent")


def three(house, steps="[{template: one}]"):
    house.leads(1, email="ana@example.com")
    house.leads(1, email="ben@example.com")
    house.leads(1, email="cem@example.com")
    started = house.start(steps=steps)
    plan(house)
    return started


def test_who_missed_it_gets_it_and_nobody_else(house):
    started = three(house)
    end(house, ben="failed", cem="expired")
    finish(house)
    done = rest(house)
    assert (done.people, done.again, done.campaign.status) == (2, 2, "running")
    assert plan(house, house.now + 2 * HOUR) == 2
    end(house)
    assert got(house) == [(f"{name}@example.com", 1) for name in ("ana", "ben", "cem")]
    balance = ledger.of_campaign(house.session, started.id)
    assert (balance.planned, balance.sent, balance.failed, balance.expired) == (5, 3, 1, 1)
    assert balance.off_by == 0


def test_doing_it_again_adds_nothing(house):
    three(house)
    end(house, ben="failed")
    finish(house)
    rest(house)
    with pytest.raises(Conflict, match="It is running"):
        rest(house)
    later = house.now + 2 * HOUR
    plan(house, later)
    end(house)
    assert campaigns.finish_campaigns(house.session, later) == 1
    assert rest(house).people == 0
    assert campaigns.get(house.session, house.app_id, "Spring").status == "finished"


def test_a_sequence_goes_on_after_the_mail_that_was_missed(house):
    started = three(house, TWO)
    end(house, ben="failed")
    finish_at = house.now + 2 * HOUR
    plan(house, finish_at)
    end(house)
    plan(house, finish_at + HOUR)
    assert campaigns.finish_campaigns(house.session, finish_at + HOUR) == 1
    assert rest(house, finish_at + HOUR).people == 1
    plan(house, finish_at + HOUR)
    end(house)
    plan(house, finish_at + 3 * HOUR)
    end(house)
    plan(house, finish_at + 5 * HOUR)
    names = ("ana", "ben", "cem")
    assert got(house) == [(f"{name}@example.com", step) for name in names for step in (1, 2)]
    assert ledger.of_campaign(house.session, started.id).off_by == 0


def test_a_cancelled_campaign_goes_on_where_it_was_cut(house):
    house.leads(1, email="ana@example.com")
    house.leads(1, email="ben@example.com")
    started = house.start(steps=TWO)
    sequence.plan_due(house.session, house.now, 1)
    end(house)
    plan(house)
    house.do(campaigns.cancel)
    done = rest(house)
    assert (done.people, done.again) == (2, 1)
    for hours in (2, 4, 6, 8):
        plan(house, house.now + hours * HOUR)
        end(house)
    assert got(house) == [(f"{n}@example.com", step) for n in ("ana", "ben") for step in (1, 2)]
    assert ledger.of_campaign(house.session, started.id).off_by == 0


@pytest.mark.parametrize("state", ["unknown", "sending"])
def test_while_a_mail_is_undecided_nothing_is_sent(house, state):
    three(house)
    end(house, ana=state, ben="failed")
    house.session.execute("UPDATE campaigns SET status = 'finished'")
    with pytest.raises(Conflict):
        rest(house)
    assert plan(house, house.now + 2 * HOUR) == 0


@pytest.mark.parametrize("status", ["draft", "running", "paused"])
def test_only_an_ended_campaign_has_a_rest(house, status):
    three(house)
    house.session.execute("UPDATE campaigns SET status = %s", (status,))
    with pytest.raises(Conflict, match=f"It is {status}"):
        rest(house)


@pytest.mark.parametrize("reason", ["hard_bounce", "unsubscribe", "complaint"])
def test_who_must_not_be_written_to_is_left_out(house, reason):
    three(house)
    end(house, ben="failed")
    sequence.stop_lead(house.session, house.app_id, address("ben"), reason)
    finish(house)
    assert rest(house).people == 0


def test_who_is_suppressed_is_left_out(house):
    three(house)
    end(house, ben="failed")
    finish(house)
    suppression.add(house.session, house.app_id, address("ben"), email=None, reason=Reason.MANUAL)
    assert rest(house).people == 0


def test_who_replied_is_left_out(house):
    three(house)
    sequence.stop_lead(house.session, house.app_id, address("ben"), "reply")
    end(house)
    finish(house)
    assert rest(house).people == 0


def test_the_timeline_of_the_missed_mail_says_that_it_was_planned_again(house):
    three(house)
    end(house, ben="failed")
    finish(house)
    rest(house)
    (missed,) = [mail for mail in house.mails() if mail.status == "failed"]
    (line,) = events.timeline(house.session, missed.id)
    assert (line.type, line.data["by"]) == ("planned_again", "test")


def test_two_at_once_send_it_once(house, database):
    three(house)
    end(house, ben="failed")
    finish(house)
    results = []

    def go():
        own = db.connect(database)
        try:
            results.append(
                send_rest(own, house.app_id, "Spring", AUTHOR, house.now + 2 * HOUR).people
            )
        except Conflict:
            results.append(0)
        finally:
            own.close()

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == [0, 0, 1]
    assert plan(house, house.now + 2 * HOUR) == 1


def address(name):
    return address_hash(f"{name}@example.com", PEPPER)
