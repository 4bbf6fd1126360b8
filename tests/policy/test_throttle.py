import datetime as dt

import pytest

from app.policy import pacing, throttle
from app.policy.pacing import Override
from app.policy.throttle import Pace, Pacing, is_throttling, pace, slowed
from tests.factories import AUTHOR, make_app
from tests.policy.conftest import at

NOW = at("2026-01-07T10:00")
MINUTE = dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (421, "4.7.0 Service not available, closing transmission channel"),
        (421, "4.7.28 Our system has detected an unusual rate of unsolicited mail"),
        (451, "4.7.650 The mail server has been temporarily rate limited"),
        (450, "4.2.0 too many connections from your IP"),
        (452, "4.5.3 Too many recipients received this hour"),
        (451, "4.7.1 Messages temporarily deferred due to user complaints"),
        (421, "Throttling failure: slow down"),
    ],
)
def test_replies_that_ask_for_a_slower_pace(code, text):
    assert is_throttling(code, text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (250, "2.0.0 accepted; rate limit 100"),
        (451, "4.7.1 Greylisted, please try again later"),
        (450, "4.2.0 <a@b.org>: Recipient address rejected: Graylisted"),
        (452, "4.2.2 Mailbox full"),
        (452, "4.2.2 The recipient's inbox is over quota; try again later"),
        (451, "4.3.0 Temporary lookup failure"),
        (550, "5.7.1 too many messages"),
    ],
)
def test_replies_that_speak_of_something_else(code, text):
    assert not is_throttling(code, text)


def test_the_first_complaint_sets_a_first_pace():
    slow = slowed(Pacing(), NOW)
    assert pace(slow, NOW) == Pace(per_minute=60, connections=2)


def test_replies_of_one_burst_are_one_complaint():
    slow = slowed(Pacing(), NOW)
    assert slowed(slow, NOW + dt.timedelta(seconds=29)) == slow


def test_each_complaint_halves_the_pace_down_to_one_a_minute():
    slow, seen = Pacing(), []
    for number in range(9):
        slow = slowed(slow, NOW + number * MINUTE)
        seen.append(slow.per_minute)
    assert seen == [60, 30, 15, 7, 3, 1, 1, 1, 1]
    assert slow.connections == 1


def test_a_quiet_domain_recovers_by_half_every_three_minutes():
    slow = slowed(Pacing(), NOW)
    seen = [pace(slow, NOW + minutes * MINUTE) for minutes in (0, 2, 3, 6, 24, 27)]
    assert [found and found.per_minute for found in seen] == [60, 60, 90, 135, 1537, None]


def test_a_complaint_while_recovering_halves_what_had_been_reached():
    later = NOW + 6 * MINUTE
    assert slowed(slowed(Pacing(), NOW), later).per_minute == 135 // 2


def test_recovery_is_never_faster_than_it_was_and_always_ends():
    slow = slowed(Pacing(per_minute=1, connections=1, slowed_at=NOW - MINUTE), NOW)
    rates = [pace(slow, NOW + minutes * MINUTE) for minutes in range(120)]
    known = [found.per_minute for found in rates if found]
    assert known == sorted(known)
    assert rates[-1] is None


def test_an_override_holds_until_it_ends():
    slow = Pacing(
        per_minute=1,
        connections=1,
        slowed_at=NOW,
        override_per_minute=500,
        override_connections=9,
        override_until=NOW + MINUTE,
    )
    assert pace(slow, NOW) == Pace(per_minute=500, connections=9)
    assert pace(slow, NOW + MINUTE) == Pace(per_minute=1, connections=1)


def test_a_complaint_under_an_override_is_remembered_for_after_it():
    slow = slowed(Pacing(override_per_minute=500), NOW)
    assert (slow.override_per_minute, slow.per_minute) == (500, 60)


def test_a_slowed_domain_is_seen_by_everybody_and_only_in_its_app(session):
    mine, other = make_app(session).id, make_app(session).id
    pacing.slow(session, mine, {"slow.org": "421 4.7.28 unusual rate"}, NOW)
    assert pacing.paces(session, mine, NOW) == {"slow.org": Pace(per_minute=60, connections=2)}
    assert pacing.paces(session, other, NOW) == {}
    (row,) = pacing.list_all(session, mine)
    assert (row.last_reply, row.rules) == ("421 4.7.28 unusual rate", throttle.RULES)


def test_a_second_complaint_slows_more(session):
    app_id = make_app(session).id
    for number in range(2):
        pacing.slow(session, app_id, {"slow.org": "421 slow down"}, NOW + number * MINUTE)
    assert pacing.paces(session, app_id, NOW + MINUTE)["slow.org"].per_minute == 30


def test_a_person_overrides_and_gives_the_domain_back(session):
    app_id = make_app(session).id
    pacing.slow(session, app_id, {"slow.org": "421 slow down"}, NOW)
    pacing.override(session, app_id, "slow.org", Override(per_minute=7, connections=1), AUTHOR)
    assert pacing.paces(session, app_id, NOW) == {"slow.org": Pace(per_minute=7, connections=1)}
    pacing.override(session, app_id, "slow.org", Override(per_minute=None), AUTHOR)
    assert pacing.paces(session, app_id, NOW)["slow.org"].per_minute == 60
    actions = session.execute("SELECT action FROM audit_logs WHERE target_id = 'slow.org'")
    assert actions.fetchall() == [("domain_pacing.overridden",)] * 2
