"""A campaign is released in stages: a sample goes, the others wait, the clock or a person decides."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.audit import Author
from app.campaigns import brakes, campaigns, outlook, rest, sequence, stages
from app.campaigns.campaigns import Status
from app.campaigns.definition import read
from app.campaigns.staging import MOVES, Phase
from app.db.session import connect
from app.errors import Conflict, InputInvalid
from app.lifecycle import ledger, transitions
from app.lifecycle.events import Delta, count
from app.lifecycle.explain import explain
from app.lifecycle.gates import Opening
from app.policy.reputation import Thresholds
from tests.campaigns.conftest import wait_for_lock
from tests.factories import insert

HOUR = dt.timedelta(hours=1)
LIMITS = Thresholds()
STAGED = "staged_release: {percent: 10, least: 3, wait_minutes: 60}"


@pytest.fixture
def staged(house):
    """A campaign of twenty leads, started and planned: three mails go first."""
    house.leads(20)
    campaign = house.start(more=STAGED)
    sequence.plan_due(house.session, house.now, 1_000)
    return campaign


def free(house):
    """Mails that may go. psycopg reads no infinity, so the rows are asked here."""
    return waiting(house, "due_at < 'infinity'")


def parked(house):
    return waiting(house, f"due_at = 'infinity' AND reason = '{transitions.STAGED}'")


def waiting(house, where):
    return [row[0] for row in house.rows(f"SELECT id FROM emails WHERE {where} ORDER BY id")]


def stage_of(house, campaign):
    return stages.find(house.session, campaign.id)


def counted(house, campaign, **kinds):
    step_id = house.value("SELECT id FROM campaign_sequence_steps WHERE position = 1")
    dimensions = {
        "app_id": house.app_id,
        "queue_id": None,
        "campaign_id": campaign.id,
        "step_id": step_id,
        "account_id": house.accounts[0].id,
    }
    count(house.session, [Delta(kind=kind, n=n, **dimensions) for kind, n in kinds.items()])


def sent(house, campaign, **kinds):
    """Send what may go, and count what came back."""
    ids = free(house)
    house.session.execute(
        "UPDATE emails SET status = 'sent', due_at = NULL, sent_at = now() WHERE id = ANY(%s)",
        (ids,),
    )
    counted(house, campaign, sent=len(ids), **kinds)


def look(house, campaign, after=dt.timedelta()):
    found = brakes.watch(house.session, house.app_id, campaign.name, LIMITS, house.now + after)
    return None if found is None else found.phase


def audited(house):
    rows = house.rows("SELECT action, actor FROM audit_logs ORDER BY id")
    return [row for row in rows if row[0].startswith("campaign.")][2:]


def test_the_first_go_and_the_others_wait_for_the_stage(house, staged):
    found = stage_of(house, staged)
    assert (found.phase, found.size, found.admitted) == (Phase.FIRST, 3, 3)
    assert (len(free(house)), len(parked(house))) == (3, 17)
    books = ledger.of_campaign(house.session, staged.id)
    assert (books.planned, books.waiting, books.off_by) == (20, 20, 0)


def test_a_campaign_without_the_setting_has_no_stage(house):
    house.leads(5)
    campaign = house.start()
    sequence.plan_due(house.session, house.now, 1_000)
    assert (stage_of(house, campaign), len(free(house))) == (None, 5)
    with pytest.raises(Conflict, match="No stage"):
        house.do(brakes.go_on)


def test_a_campaign_as_small_as_its_first_stage_goes_whole(house):
    house.leads(3)
    campaign = house.start(more=STAGED)
    sequence.plan_due(house.session, house.now, 1_000)
    assert (stage_of(house, campaign).phase, len(free(house))) == (Phase.OPEN, 3)


def test_who_goes_first_is_drawn_by_chance(house):
    leads = house.leads(200)
    house.start(more="staged_release: {percent: 10, least: 1}")
    sequence.plan_due(house.session, house.now, 1_000)
    first = {row[0] for row in house.rows("SELECT lead_id FROM emails WHERE due_at < 'infinity'")}
    assert len(first) == 20
    assert first != set(leads[:20])


def test_passes_at_once_let_no_more_go_than_the_stage_has_room_for(house, database):
    house.leads(20)
    campaign = house.start(more=STAGED)
    with ThreadPoolExecutor() as threads, connect(database) as one, connect(database) as other:
        with one.transaction():
            assert sequence.plan_due(one, house.now, 2) == 2
            planned = threads.submit(sequence.plan_due, other, house.now, 6)
            wait_for_lock(database, planned)
        assert planned.result(60) == 6
    assert (len(free(house)), len(parked(house))) == (3, 5)
    assert stage_of(house, campaign).admitted == 3


def test_good_first_mails_let_the_others_go_after_the_wait(house, staged):
    assert look(house, staged) is None
    sent(house, staged)
    assert look(house, staged) is Phase.WATCHED
    assert look(house, staged, HOUR / 2) is None
    campaigns.finish_campaigns(house.session, house.now)
    assert campaigns.get(house.session, house.app_id, "Spring").status is Status.RUNNING
    assert look(house, staged, HOUR) is Phase.OPEN
    assert (len(free(house)), len(parked(house))) == (17, 0)
    assert audited(house) == [
        ("campaign.stage_watched", "clock"),
        ("campaign.stage_opened", "clock"),
    ]


def test_what_is_planned_after_the_opening_goes_at_once(house):
    house.leads(20)
    campaign = house.start(more=STAGED)
    sequence.plan_due(house.session, house.now, 5)
    assert (len(free(house)), len(parked(house))) == (3, 2)
    house.do(brakes.go_on)
    sequence.plan_due(house.session, house.now, 1_000)
    assert (len(free(house)), stage_of(house, campaign).admitted) == (20, 3)


def test_bad_first_mails_brake_the_campaign_and_nothing_is_lost(house, staged):
    sent(house, staged, bounced=3)
    endpoint = {"id": staged.id, "app_id": house.app_id, "url": "https://x.example"}
    insert(house.session, "webhook_endpoints", endpoint | {"secret_sealed": ""})
    assert look(house, staged) is Phase.BRAKED
    assert campaigns.get(house.session, house.app_id, "Spring").status is Status.PAUSED
    assert (free(house), len(parked(house))) == ([], 17)
    reason = stage_of(house, staged).reason
    assert reason.startswith(
        "100.00% of the first mails bounced (3 of 3), 0.00% of the app's other"
    )
    told = house.rows("SELECT data->>'phase' FROM webhook_events WHERE event = 'reputation'")
    assert told == [("braked",)]
    assert look(house, staged, 100 * HOUR) is None
    assert ledger.of_campaign(house.session, staged.id).waiting == 17


def test_first_mails_that_are_all_blocked_brake_the_campaign(house, staged):
    house.session.execute(
        "UPDATE emails SET status = 'failed', due_at = NULL WHERE due_at < 'infinity'"
    )
    counted(house, staged, failed=3, rejected=3, blocked=3)
    assert look(house, staged) is Phase.BRAKED
    assert stage_of(house, staged).reason.startswith("100.00% of the first mails blocked (3 of 3)")


@pytest.mark.parametrize("move", [campaigns.resume, brakes.go_on])
def test_a_person_overrules_a_brake(house, staged, move):
    sent(house, staged, bounced=3)
    look(house, staged)
    assert house.do(move).status is Status.RUNNING
    assert (len(free(house)), stage_of(house, staged).phase) == (17, Phase.OPEN)
    assert stage_of(house, staged).reason == "overruled by test"
    assert look(house, staged, HOUR) is None


def test_a_braked_campaign_is_cancelled_like_any_other(house, staged):
    sent(house, staged, bounced=3)
    look(house, staged)
    house.do(campaigns.cancel)
    books = ledger.of_campaign(house.session, staged.id)
    assert (books.cancelled, books.waiting, books.off_by) == (17, 0, 0)


def test_a_person_need_not_wait_for_the_watch(house, staged):
    sent(house, staged)
    look(house, staged)
    house.do(brakes.go_on)
    assert (len(free(house)), stage_of(house, staged).phase) == (17, Phase.OPEN)
    assert audited(house)[-1] == ("campaign.stage_opened", "test")


def test_a_pause_in_the_first_stage_frees_only_its_own_when_it_is_resumed(house, staged):
    house.do(campaigns.pause)
    assert look(house, staged) is None
    house.do(campaigns.resume)
    assert (len(free(house)), len(parked(house))) == (3, 17)


def test_the_rest_of_a_cancelled_campaign_goes_whole(house, staged):
    sent(house, staged)
    house.do(campaigns.cancel)
    house.do(rest.send_rest)
    sequence.plan_due(house.session, house.now, 1_000)
    assert (len(free(house)), parked(house)) == (17, [])


def by_a_person(house, campaign):
    house.do(brakes.go_on, campaign.name)


def by_the_clock(house, campaign):
    sent(house, campaign)
    look(house, campaign)
    look(house, campaign, HOUR)


@pytest.mark.parametrize("open_it", [by_a_person, by_the_clock])
def test_the_others_stay_within_their_windows(house, open_it):
    house.leads(20)
    day = (house.now + 48 * HOUR).isoweekday()
    campaign = house.start(more=f"{STAGED}\nwindow: {{days: [{day}]}}")
    sequence.plan_due(house.session, house.now, 1_000)
    others = parked(house)
    assert len(others) == 17
    open_it(house, campaign)
    assert stage_of(house, campaign).phase is Phase.OPEN
    due = house.rows("SELECT due_at FROM emails WHERE id = ANY(%s)", others)
    assert all(due_at.date() > house.now.date() for (due_at,) in due)


def test_explain_says_which_stage_keeps_a_mail_back_and_until_when(house, staged):
    def gate(email_id):
        ask = Opening(may_go=True, value="not limited")
        found = explain(house.session, email_id, ask_limits=lambda _: ask, now=house.now)
        (stage,) = [one for one in found.gates if one.name == "stage"]
        return found, stage

    _, going = gate(free(house)[0])
    assert (str(going.verdict), going.value) == (
        "pass",
        "3 mails (10 %) go first; the release is at its first mails",
    )
    waiting = parked(house)[0]
    sent(house, staged)
    look(house, staged)
    found, stage = gate(waiting)
    assert found.sentence == "Scheduled; it waits for: stage."
    assert (str(stage.verdict), stage.next_at) == ("wait", house.now + HOUR)
    assert stage.value.startswith("3 mails (10 %) go first; the release is watched until ")


def test_a_forecast_counts_those_who_wait_as_if_they_went_now(house, staged):
    assert outlook.outlook(house.session, staged.id, house.now).mails == 20


def test_every_move_of_a_stage_is_legal_or_refused(house):
    house.leads(1)
    campaign = house.create(more=STAGED)
    for source in Phase:
        for target in Phase:
            size = None if source is Phase.PLANNED else 1
            house.session.execute(
                "UPDATE campaign_stages SET phase = %s, size = %s WHERE campaign_id = %s",
                (source, size, campaign.id),
            )
            if (source, target) == (Phase.PLANNED, Phase.FIRST) or target is Phase.PLANNED:
                continue  # the start moves it, with its size
            if source is Phase.PLANNED:
                continue
            moved = stages.move(house.session, campaign.id, target, "why", house.now)
            assert moved == (target in MOVES[source]), (source, target)


@pytest.mark.parametrize("part", ["percent: 0", "percent: 100", "least: 0", "wait_minutes: 0"])
def test_a_stage_that_cannot_be_is_refused(part):
    with pytest.raises(InputInvalid, match="staged_release"):
        read(
            f"name: x\naccounts: [a@b.example]\nsteps: [{{template: one}}]\nstaged_release: {{{part}}}"
        )


def test_author_names_stand_in_the_reason(house, staged):
    author = Author(name="user:1")
    brakes.go_on(house.session, house.app_id, staged.name, author, house.now)
    assert stage_of(house, staged).reason == "overruled by user:1"
