"""A sender is warned, slowed and held by its rates; never by bad luck, and never back and forth."""

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.reputation import (
    Conduct,
    Level,
    Measure,
    Standing,
    Thresholds,
    judge,
    pace_of,
    rules,
)

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
LIMITS = Thresholds()
GOOD = Standing(changed_at=NOW - 24 * HOUR)
TABLE = rules(LIMITS)


def judged(conduct: Conduct, before: Standing = GOOD, now: dt.datetime = NOW) -> Standing:
    return judge(before, {"24 h": conduct, "7 days": conduct}, LIMITS, now)


@pytest.mark.parametrize(
    ("conduct", "rule"),
    [
        (Conduct(sent=1_000), None),
        (Conduct(sent=10, complained=1), None),
        (Conduct(sent=99, bounced=99, complained=99), None),
        (Conduct(sent=300, complained=1), None),
        (Conduct(sent=500, complained=2), "complaints.warn"),
        (Conduct(sent=2_000, complained=2), "complaints.warn"),
        (Conduct(sent=2_001, complained=2), None),
        (Conduct(sent=1_000, complained=3), "complaints.hold"),
        (Conduct(sent=1_001, complained=3), "complaints.warn"),
        (Conduct(sent=1_000, bounced=19), None),
        (Conduct(sent=1_000, bounced=20), "bounces.warn"),
        (Conduct(sent=1_000, bounced=50), "bounces.slow-50"),
        (Conduct(sent=1_000, bounced=100), "bounces.slow-25"),
        (Conduct(sent=1_000, bounced=200), "bounces.slow-10"),
        (Conduct(sent=1_000, bounced=200, complained=3), "complaints.hold"),
        (Conduct(sent=200, blocked=2), None),
        (Conduct(sent=300, blocked=3), "blocks.slow-50"),
        (Conduct(sent=300, blocked=15), "blocks.slow-25"),
    ],
)
def test_the_worst_rule_that_holds_decides(conduct, rule):
    assert judged(conduct).rule == rule


def test_one_bad_day_counts_though_the_week_was_good():
    windows = {"24 h": Conduct(sent=1_000, bounced=60), "7 days": Conduct(sent=99_000, bounced=70)}
    found = judge(GOOD, windows, LIMITS, NOW)
    assert found.rule == "bounces.slow-50"
    assert found.reason == (
        "6.00% bounced (60 of 1,000 mails in 24 h); the limit is 5.00% "
        "(rule bounces.slow-50, version 1)"
    )


def test_a_hold_ends_by_a_person_alone():
    held = judged(Conduct(sent=1_000, complained=5))
    assert judged(Conduct(), held, NOW + 1_000 * HOUR) == held


def test_a_milder_rule_takes_over_when_the_rate_has_clearly_fallen_and_not_within_the_hour():
    slowed = judged(Conduct(sent=1_000, bounced=50))
    barely, clearly = Conduct(sent=1_000, bounced=36), Conduct(sent=1_000, bounced=34)
    assert judged(barely, slowed, NOW + 2 * HOUR) == slowed
    assert judged(clearly, slowed, NOW + HOUR - MINUTE) == slowed
    assert judged(clearly, slowed, NOW + HOUR).rule == "bounces.warn"


def test_a_worse_rule_takes_over_at_once():
    warned = judged(Conduct(sent=1_000, bounced=20))
    assert judged(Conduct(sent=1_000, bounced=60), warned).rule == "bounces.slow-50"


def test_a_rule_that_is_gone_since_an_update_keeps_nobody_back():
    old = Standing(level=Level.SLOWED, rule="gone", reason="", changed_at=NOW)
    assert judged(Conduct(sent=1_000), old).level is Level.GOOD


def test_a_slowed_sender_keeps_a_share_of_its_busiest_hour_and_never_stops():
    assert pace_of("bounces.slow-25", 10_000, LIMITS) == 2_500
    assert pace_of("bounces.slow-10", 7, LIMITS) == 60
    assert pace_of("complaints.hold", 10_000, LIMITS) is None
    assert pace_of(None, 10_000, LIMITS) is None


COUNTS = st.integers(0, 5_000)
CONDUCTS = st.builds(Conduct, sent=COUNTS, bounced=COUNTS, complained=COUNTS, blocked=COUNTS)


@given(CONDUCTS, st.sampled_from(Measure))
def test_more_against_a_sender_never_makes_it_stand_better(conduct, measure):
    order = [*(rule.id for rule in TABLE), None]
    worse = replace(conduct, **{str(measure): conduct.count(measure) + 100})
    assert order.index(judged(worse).rule) <= order.index(judged(conduct).rule)


@given(st.integers(0, LIMITS.least_mails - 1), COUNTS, COUNTS, COUNTS)
def test_too_few_mails_never_have_a_consequence(sent, bounced, complained, blocked):
    found = Conduct(sent=sent, bounced=bounced, complained=complained, blocked=blocked)
    assert judged(found).level is Level.GOOD


@given(st.lists(st.tuples(CONDUCTS, st.integers(0, 7_200)), max_size=30))
def test_a_standing_gets_better_at_most_once_an_hour_and_never_after_a_hold(course):
    order = [*(rule.id for rule in TABLE), None]
    standing, now = GOOD, NOW
    for conduct, pause_s in course:
        now += dt.timedelta(seconds=pause_s)
        after = judged(conduct, standing, now)
        if order.index(after.rule) > order.index(standing.rule):
            assert standing.level is not Level.HELD
            assert now - standing.changed_at >= HOUR
        assert (after.level is Level.GOOD) == (after.rule is None)
        standing = after


@given(st.integers(100, 100_000), st.floats(0.701, 0.999))
def test_a_rate_that_swings_around_a_threshold_changes_nothing(sent, ease):
    at = Conduct(sent=sent, bounced=-(-sent * 5 // 100))
    under = replace(at, bounced=int(sent * 0.05 * ease) + 1)
    standing = judged(at)
    for hours in range(1, 10):
        standing_now = judged(under if hours % 2 else at, standing, NOW + hours * HOUR)
        assert standing_now == standing
