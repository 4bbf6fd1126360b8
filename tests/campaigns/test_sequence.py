import contextlib
import datetime as dt
import threading
from collections import Counter

import pytest

from app.campaigns import campaigns, sequence
from app.campaigns.advance import HOLD
from app.clock import monotonic_s
from app.db import session as db
from app.lifecycle import ledger
from app.privacy import address_hash
from tests.factories import (
    AUTHOR,
    PEPPER,
    make_account,
    make_app,
    make_campaign,
    make_lead,
    make_step,
)

HOUR = dt.timedelta(hours=1)
THREE = "[{template: one}, {template: two, wait_duration_hours: 1}, {template: three}]"


def plan(house, now=None, limit=100):
    return sequence.plan_due(house.session, now or house.now, limit)


def test_every_lead_gets_the_first_mail_with_its_variables(house):
    house.leads(2, variables={"first_name": "Ana"}, timezone="Europe/Berlin")
    house.start(more="priority: 8")
    assert plan(house) == 2
    mail = house.mails()[0]
    assert (mail.status, mail.due_at, mail.priority) == ("scheduled", house.now, 8)
    assert mail.variables == {"first_name": "Ana", "firstName": "Ana", "email": mail.to_email}
    assert bytes(mail.to_hash) == address_hash(mail.to_email, PEPPER)
    assert plan(house) == 0


def test_a_sequence_runs_to_its_end_each_step_after_the_wait(house):
    house.leads(1)
    started = house.start(steps=THREE)
    plan(house)
    house.settle("sent", house.now)
    assert plan(house, house.now + HOUR / 2) == 0
    assert plan(house, house.now + HOUR) == 1
    second = house.now + 2 * HOUR
    house.settle("sent", second)
    assert plan(house, second) == 1
    house.settle("delivered", second)
    assert plan(house, second + HOUR) == 0
    assert [mail.position for mail in house.mails()] == [1, 2, 3]
    assert house.rows("SELECT status, steps_planned FROM enrolments") == [("finished", 3)]
    assert ledger.of_campaign(house.session, started.id).off_by == 0


def test_a_wait_begins_when_the_mail_was_really_sent(house):
    house.leads(1)
    house.start(steps=THREE)
    plan(house)
    late = house.now + 3 * HOUR
    assert plan(house, late) == 0  # still waiting
    house.settle("sent", late)
    assert plan(house, late + HOUR / 2) == 0
    assert plan(house, late + HOUR) == 1


def test_an_unknown_mail_holds_its_sequence(house):
    house.leads(1)
    house.start(steps=THREE)
    plan(house)
    house.settle("unknown")
    later = house.now + HOUR
    assert plan(house, later) == 0
    assert house.value("SELECT due_at FROM enrolments") == later + HOLD


def test_a_mail_parked_by_a_pause_is_no_trouble(house):
    house.leads(1)
    house.start(steps=THREE)
    plan(house)
    house.session.execute("UPDATE emails SET due_at = 'infinity' WHERE status = 'scheduled'")
    assert plan(house, house.now + HOUR) == 0


def test_a_failed_mail_ends_its_sequence(house):
    house.leads(1)
    house.start(steps=THREE)
    plan(house)
    house.settle("failed")
    assert plan(house, house.now + HOUR) == 0
    assert house.rows("SELECT status, stop_reason FROM enrolments") == [
        ("stopped", "the mail before was failed")
    ]


def test_a_mail_deleted_by_retention_counts_as_sent(house):
    house.leads(1)
    house.start(steps=THREE)
    plan(house)
    house.session.execute("DELETE FROM emails")
    assert plan(house, house.now + HOUR) == 1


def test_mails_wait_for_the_window_of_the_lead(house):
    house.leads(1, timezone="Asia/Tokyo")
    house.start(more="window: {start: 9:00, end: 17:00}")
    plan(house)
    (mail,) = house.mails()
    local = mail.due_at.astimezone(dt.timezone(9 * HOUR))
    assert mail.due_at >= house.now
    assert mail.due_at == house.now or (local.hour, local.minute) == (9, 0)
    assert mail.window_closes_at > mail.due_at


def test_a_lead_of_a_paused_account_moves_to_another(house):
    house.leads(4)
    house.start(steps=THREE)
    first, second = (account.id for account in house.accounts)
    house.session.execute("UPDATE email_accounts SET status = 'paused' WHERE id = %s", (first,))
    assert plan(house) == 4
    assert {mail.account_id for mail in house.mails()} == {second}
    assert house.rows("SELECT DISTINCT account_id FROM enrolments") == [(second,)]


def test_without_an_active_account_everything_waits(house):
    house.leads(1)
    house.start()
    house.session.execute("UPDATE email_accounts SET status = 'paused'")
    assert plan(house) == 0
    house.session.execute("UPDATE email_accounts SET status = 'active'")
    assert plan(house, house.now + HOLD) == 1


def test_variants_are_shared_by_weight(house):
    house.leads(60)
    house.start(
        steps="[{variants: [{template: one, weight: 2}, {template: two}]}]",
    )
    plan(house)
    counts = Counter(mail.template_version_id for mail in house.mails())
    assert len(counts) == 2
    assert max(counts.values()) > 25


def other_campaign(house, leads, **fields):
    """A running campaign of another app with `leads` due enrolments."""
    app_id = make_app(house.session).id
    account = make_account(house.session, app_id)
    campaign_id = make_campaign(house.session, app_id, account_id=account.id, **fields)
    make_step(house.session, campaign_id)
    for _ in range(leads):
        lead_id = make_lead(house.session, app_id)
        house.session.execute(
            "INSERT INTO enrolments (id, app_id, campaign_id, lead_id, account_id, due_at) "
            "VALUES (gen_random_uuid(), %s, %s, %s, %s, %s)",
            (app_id, campaign_id, lead_id, account.id, house.now),
        )
    return campaign_id


def planned_of(house, campaign_id):
    statement = "SELECT count(*) FROM emails WHERE campaign_id = %s"
    return house.session.execute(statement, (campaign_id,)).fetchone()[0]


def test_the_higher_priority_is_planned_first(house):
    house.leads(5)
    house.start()
    urgent = other_campaign(house, 5, priority=9)
    assert plan(house, limit=5) == 5
    assert planned_of(house, urgent) == 5
    assert plan(house, limit=5) == 5


def test_apps_share_a_pass_and_no_room_is_left_unused(house):
    house.leads(20)
    started = house.start()
    small = other_campaign(house, 3)
    large = other_campaign(house, 20)
    assert plan(house, limit=18) == 18
    counts = [planned_of(house, each) for each in (started.id, small, large)]
    assert counts[1] == 3
    assert min(counts[0], counts[2]) >= 6


def test_a_suspended_app_plans_nothing(house):
    house.leads(1)
    house.start()
    house.session.execute("UPDATE apps SET status = 'suspended'")
    assert plan(house) == 0


def test_two_planners_at_once_plan_nothing_twice(house, database):
    house.leads(300)
    house.start(steps=THREE)
    barrier, planned = threading.Barrier(3), []

    def run():
        with contextlib.closing(db.connect(database)) as own:
            barrier.wait()
            planned.extend(sequence.plan_due(own, house.now, 50) for _ in range(6))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(planned) == 300
    assert house.value("SELECT count(DISTINCT lead_id) FROM emails") == 300
    assert house.value("SELECT count(*) FROM emails") == 300
    assert house.value("SELECT sum(steps_planned) FROM enrolments") == 300


def waits_for_a_lock(house, session):
    statement = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid = %s"
    return house.value(statement, session.info.backend_pid)


def test_a_cancel_during_a_pass_misses_no_mail(house, database):
    house.leads(50)
    house.start()
    with (
        contextlib.closing(db.connect(database)) as planner,
        contextlib.closing(db.connect(database)) as person,
    ):
        cancel = (person, house.app_id, "Spring", AUTHOR, house.now)
        done = threading.Thread(target=campaigns.cancel, args=cancel)
        with planner.transaction():
            sequence.plan_due(planner, house.now, 50)
            done.start()
            gives_up_at = monotonic_s() + 10
            while not waits_for_a_lock(house, person):
                assert monotonic_s() < gives_up_at
        done.join()
    assert {mail.status for mail in house.mails()} == {"cancelled"}


@pytest.mark.parametrize(
    ("reason", "lead", "mail"),
    [
        ("unsubscribe", "unsubscribed", "suppressed"),
        ("hard_bounce", "bounced", "suppressed"),
        ("complaint", "complained", "suppressed"),
        ("reply", "active", "cancelled"),
    ],
)
def test_a_stopped_lead_gets_nothing_more(house, reason, lead, mail):
    leaving, staying = house.leads(2)
    started = house.start(steps=THREE)
    plan(house)
    email = house.value("SELECT email FROM leads WHERE id = %s", leaving)
    hashed = address_hash(email, PEPPER)
    assert sequence.stop_lead(house.session, house.app_id, hashed, reason) == 1
    assert sequence.stop_lead(house.session, house.app_id, hashed, reason) == 0
    assert house.value("SELECT status FROM leads WHERE id = %s", leaving) == lead
    states = {each.lead_id: (each.status, each.reason) for each in house.mails()}
    assert states == {leaving: (mail, reason), staying: ("scheduled", None)}
    assert ledger.of_campaign(house.session, started.id).off_by == 0


def test_the_waiting_last_mail_of_a_finished_sequence_is_stopped_too(house):
    (lead,) = house.leads(1)
    house.start()
    plan(house)
    email = house.value("SELECT email FROM leads WHERE id = %s", lead)
    hashed = address_hash(email, PEPPER)
    sequence.stop_lead(house.session, house.app_id, hashed, "unsubscribe")
    assert [mail.status for mail in house.mails()] == ["suppressed"]
