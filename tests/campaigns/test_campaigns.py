import datetime as dt

import pytest

from app.campaigns import campaigns, sequence
from app.campaigns.campaigns import SOURCES, Status
from app.campaigns.definition import read
from app.errors import Conflict, NotFound
from app.ids import new_id
from app.lifecycle import attempts, ledger, transitions
from app.policy import suppression
from app.policy.suppression import Reason
from app.privacy import address_hash
from app.sending.outcome import Claimed, decide
from app.sending.route import RetryPolicy
from app.smtp.connection import Stage
from app.smtp.transaction import Attempt, Verdict
from tests.factories import AUTHOR, PEPPER

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


def test_a_campaign_is_created_as_a_draft(house):
    made = house.create(steps="[{template: one}, {template: two, wait_duration_hours: 0.5}]")
    assert (made.status, made.steps, made.audience) == (Status.DRAFT, 2, {})
    waits = house.rows("SELECT wait_duration_hours FROM campaign_sequence_steps ORDER BY position")
    assert [float(row[0]) for row in waits] == [0, 0.5]
    assert house.value("SELECT count(*) FROM campaign_accounts") == 2
    assert house.value("SELECT count(*) FROM audit_logs WHERE action = 'campaign.created'") == 1


@pytest.mark.parametrize(
    ("more", "steps", "says"),
    [
        ("queue: fast", "[{template: one}]", "no queue 'fast'"),
        ("", "[{template: one}, {template: oen}]", "Did you mean 'one'"),
        ("", "[{template: one, version: 4}]", "version 4"),
    ],
)
def test_a_missing_part_leaves_nothing_behind(house, more, steps, says):
    with pytest.raises(NotFound, match=says):
        house.create(more=more, steps=steps)
    assert house.value("SELECT count(*) FROM campaigns") == 0


def test_a_missing_account_is_named(house):
    text = "name: x\naccounts: [none@example.org]\nsteps: [{template: one}]"
    with pytest.raises(NotFound, match=r"none@example\.org"):
        campaigns.create(house.session, house.app_id, read(text), AUTHOR)


def test_a_name_is_taken_once(house):
    house.create()
    with pytest.raises(Conflict, match="exists already"):
        house.create()


def test_a_start_enrols_the_active_leads_in_turn(house):
    house.leads(4)
    unsubscribed, suppressed = house.leads(2)
    house.session.execute("UPDATE leads SET status = 'unsubscribed' WHERE id = %s", (unsubscribed,))
    email = house.value("SELECT email FROM leads WHERE id = %s", suppressed)
    hashed = address_hash(email, PEPPER)
    suppression.add(house.session, house.app_id, hashed, email=None, reason=Reason.MANUAL)
    started = house.start()
    assert (started.status, started.started_at) == (Status.RUNNING, house.now)
    rows = house.rows("SELECT account_id, due_at FROM enrolments ORDER BY lead_id")
    first, second = (account.id for account in house.accounts)
    assert [row[0] for row in rows] == [first, second, first, second]
    assert {row[1] for row in rows} == {house.now}


def test_an_audience_is_a_part_of_the_leads(house):
    house.leads(2, variables={"plan": "pro", "user": {"city": "Ulm"}})
    house.leads(3, variables={"plan": "free", "user": {"city": "Ulm"}})
    house.start(more="audience:\n  where: {plan: pro, user.city: Ulm}")
    assert house.value("SELECT count(*) FROM enrolments") == 2


def test_a_campaign_for_nobody_is_not_started(house):
    house.create()
    with pytest.raises(Conflict, match="would reach nobody"):
        house.do(campaigns.start)
    assert campaigns.get(house.session, house.app_id, "Spring").status is Status.DRAFT


def test_a_scheduled_campaign_runs_when_its_time_has_come(house):
    house.leads(1)
    later = house.now + HOUR
    assert house.start(more=f"scheduled_at: {later.isoformat()}").status is Status.SCHEDULED
    assert campaigns.start_due(house.session, house.now) == 0
    assert sequence.plan_due(house.session, later, 10) == 0
    assert campaigns.start_due(house.session, later) == 1
    assert campaigns.start_due(house.session, later) == 0
    assert sequence.plan_due(house.session, later, 10) == 1


def test_a_paused_campaign_parks_its_mails_and_a_resumed_one_goes_on(house):
    house.leads(3)
    house.start()
    sequence.plan_due(house.session, house.now, 2)
    house.do(campaigns.pause)
    assert sequence.plan_due(house.session, house.now, 10) == 0
    parked = "SELECT count(*) FROM emails WHERE due_at = 'infinity'"
    assert house.value(parked) == 2
    house.do(campaigns.resume)
    assert house.value(parked) == 0
    assert sequence.plan_due(house.session, house.now, 10) == 1


def test_a_resumed_campaign_keeps_to_its_windows(house):
    house.leads(2)
    opens = (house.now + 2 * HOUR).time().replace(second=0, microsecond=0)
    closes = (house.now + 3 * HOUR).time().replace(second=0, microsecond=0)
    house.start(more=f"window: {{start: '{opens:%H:%M}', end: '{closes:%H:%M}'}}")
    sequence.plan_due(house.session, house.now, 10)
    planned = {mail.due_at for mail in house.mails()}
    house.do(campaigns.pause)
    house.do(campaigns.resume)
    assert {mail.due_at for mail in house.mails()} == planned
    assert min(planned) > house.now + HOUR


def test_a_campaign_paused_before_its_time_is_scheduled_again(house):
    house.leads(1)
    later = house.now + HOUR
    house.start(more=f"scheduled_at: {later.isoformat()}")
    house.do(campaigns.pause)
    assert house.do(campaigns.resume).status is Status.SCHEDULED
    house.do(campaigns.pause)
    assert house.do(campaigns.resume, now=later).status is Status.RUNNING


def test_a_cancelled_campaign_sends_nothing_more(house):
    house.leads(3)
    started = house.start(steps="[{template: one}, {template: two}]")
    sequence.plan_due(house.session, house.now, 2)
    house.do(campaigns.cancel)
    assert {mail.status for mail in house.mails()} == {"cancelled"}
    assert house.value("SELECT count(*) FROM enrolments WHERE status = 'stopped'") == 3
    assert sequence.plan_due(house.session, house.now + HOUR, 10) == 0
    assert ledger.of_campaign(house.session, started.id).off_by == 0


@pytest.mark.parametrize("source", Status)
def test_only_legal_moves_are_made(house, source):
    house.leads(1)
    house.create()
    actions = {
        campaigns.start: (Status.DRAFT,),
        campaigns.pause: SOURCES[Status.PAUSED],
        campaigns.resume: (Status.PAUSED,),
        campaigns.cancel: SOURCES[Status.CANCELLED],
    }
    for action, sources in actions.items():
        house.session.execute("UPDATE campaigns SET status = %s", (source,))
        house.session.execute("DELETE FROM enrolments")
        if source in sources:
            assert house.do(action).status is not source
        else:
            with pytest.raises(Conflict, match=f"It is {source}"):
                house.do(action)


def test_every_move_is_audited(house):
    house.leads(1)
    house.start()
    for action in (campaigns.pause, campaigns.resume, campaigns.cancel):
        house.do(action)
    rows = house.rows("SELECT action FROM audit_logs WHERE target_kind = 'campaign' ORDER BY id")
    moves = ("created", "started", "paused", "resumed", "cancelled")
    assert [row[0] for row in rows] == [f"campaign.{move}" for move in moves]


def test_a_campaign_is_finished_when_no_lead_and_no_mail_is_left(house):
    house.leads(2)
    house.start()
    assert campaigns.finish_campaigns(house.session, house.now) == 0
    sequence.plan_due(house.session, house.now, 10)
    assert campaigns.finish_campaigns(house.session, house.now) == 0
    house.settle("sent", house.now)
    assert campaigns.finish_campaigns(house.session, house.now) == 1
    shown = campaigns.show(house.session, house.app_id, "Spring")
    assert (shown.campaign.status, shown.campaign.finished_at) == (Status.FINISHED, house.now)
    assert shown.leads == {"active": 0, "finished": 2, "stopped": 0}
    assert (shown.ledger.planned, shown.ledger.sent, shown.ledger.off_by) == (2, 2, 0)


def test_a_campaign_with_a_mail_on_its_way_is_not_finished(house):
    house.leads(2)
    house.start()
    sequence.plan_due(house.session, house.now, 10)
    ids = [mail.id for mail in house.mails()]
    transitions.release(house.session, ids)
    assert campaigns.finish_campaigns(house.session, house.now) == 0
    house.settle("sent", house.now)
    assert campaigns.finish_campaigns(house.session, house.now) == 1


def test_an_old_deferred_mail_keeps_its_campaign_open_until_it_ends(house):
    """The server has said 4xx for days: the mail still waits, up to its deferral age."""
    house.leads(2)
    started = house.start()
    sequence.plan_due(house.session, house.now, 10)
    sent, deferred = [mail.id for mail in house.mails()]
    house.session.execute("UPDATE emails SET created_at = %s", (house.now - 6 * DAY,))
    tried(house, sent, Verdict.ACCEPTED, house.now)
    tried(house, deferred, Verdict.DEFERRED, house.now)
    assert [mail.status for mail in house.mails()] == ["sent", "scheduled"]
    assert campaigns.finish_campaigns(house.session, house.now + HOUR) == 0
    tried(house, deferred, Verdict.DEFERRED, house.now + 2 * DAY)
    assert [mail.status for mail in house.mails()] == ["sent", "failed"]
    assert campaigns.finish_campaigns(house.session, house.now + 2 * DAY) == 1
    assert ledger.of_campaign(house.session, started.id).off_by == 0


def tried(house, email_id, verdict: Verdict, now) -> None:
    """Let one mail be released, claimed and tried at `now`."""
    transitions.release(house.session, [email_id])
    ((_, fence, attempt, created_at, claimed_at, _),) = attempts.claim(
        house.session, [email_id], "worker/1"
    )
    held = Claimed(
        email_id=email_id,
        fence=fence,
        attempt=attempt,
        created_at=created_at,
        first_claimed_at=claimed_at,
    )
    reply = Attempt(verdict=verdict, code=451, text="4.3.0 try later", stage=Stage.DOT)
    policy = RetryPolicy(delays_s=(60,), max_age_s=7 * 86_400)
    outcome = decide(held, reply, policy, now=now, event_id=new_id().hex)
    attempts.record(house.session, [outcome], None)


def test_between_two_steps_no_mail_is_read_to_see_that_a_campaign_goes_on(house):
    """A campaign of a million mails waits days for its next step, and is asked at every pass."""
    house.leads(2)
    house.start(steps="[{template: one}, {template: two, wait_duration_hours: 48}]")
    sequence.plan_due(house.session, house.now, 10)
    house.settle("sent", house.now)
    plan = house.session.execute("EXPLAIN (ANALYZE, COSTS off) " + campaigns._DONE).fetchall()
    reads = [line for (line,) in plan if " on emails_" in line]
    assert reads
    assert all("never executed" in line for line in reads), reads
    assert campaigns.finish_campaigns(house.session, house.now) == 0


def test_an_unknown_campaign_suggests_the_nearest(house):
    house.create()
    with pytest.raises(NotFound, match="Did you mean 'Spring'"):
        campaigns.get(house.session, house.app_id, "Sprnig")
