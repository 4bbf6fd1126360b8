"""The first mails of a campaign decide by what they met with; the rules alone."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.campaigns.staging import MOVES, Phase, Sight, Stage, size_of, step
from app.policy.reputation import Conduct, Thresholds

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
LIMITS = Thresholds()
GOOD = Conduct(sent=100)


def stage(phase: Phase, age: dt.timedelta | None = None) -> Stage:
    watched_from = None if age is None else NOW - age
    return Stage(phase=phase, size=100, wait=HOUR, watched_from=watched_from)


def seen(settled=100, conduct=GOOD, baseline=GOOD):
    return Sight(settled=settled, conduct=conduct, baseline=lambda: baseline)


def decided(now_stage: Stage, sight: Sight) -> Phase | None:
    found = step(now_stage, sight, LIMITS, NOW)
    return None if found is None else found.phase


@pytest.mark.parametrize(
    ("people", "size"), [(100_000, 2_000), (1_000, 50), (2_501, 51), (50, 50), (3, 3), (0, 0)]
)
def test_two_per_cent_go_first_and_at_least_so_many(people, size):
    assert size_of(people, Decimal(2), 50) == size


@given(st.integers(0, 10**7), st.decimals("0.01", "99.99", places=2), st.integers(1, 10**6))
def test_a_first_stage_is_never_larger_than_the_campaign(people, percent, least):
    size = size_of(people, percent, least)
    assert min(people, least) <= size <= people
    assert size * 100 >= min(people * percent, people * 100)


@pytest.mark.parametrize(
    ("now_stage", "sight", "phase"),
    [
        (stage(Phase.FIRST), seen(settled=89), None),
        (stage(Phase.FIRST), seen(settled=90), Phase.WATCHED),
        (stage(Phase.WATCHED, HOUR / 2), seen(), None),
        (stage(Phase.WATCHED, HOUR), seen(), Phase.OPEN),
        (stage(Phase.FIRST), seen(settled=20, conduct=Conduct(sent=20, bounced=3)), Phase.BRAKED),
        (stage(Phase.WATCHED, 2 * HOUR), seen(conduct=Conduct(sent=100, bounced=5)), Phase.BRAKED),
        (stage(Phase.WATCHED, HOUR), seen(conduct=Conduct(sent=100, bounced=4)), Phase.OPEN),
        (stage(Phase.WATCHED, HOUR), seen(conduct=Conduct(sent=20, bounced=2)), Phase.OPEN),
        (stage(Phase.WATCHED, HOUR), seen(conduct=Conduct(sent=100, complained=1)), Phase.OPEN),
        (stage(Phase.WATCHED, HOUR), seen(conduct=Conduct(sent=99, complained=2)), Phase.BRAKED),
        (stage(Phase.WATCHED, HOUR), seen(conduct=Conduct(sent=99, blocked=3)), Phase.BRAKED),
        # An app whose lists always bounce so is slowed for it, not braked.
        (
            stage(Phase.WATCHED, HOUR),
            seen(conduct=Conduct(sent=100, bounced=7), baseline=Conduct(sent=900, bounced=36)),
            Phase.OPEN,
        ),
        (
            stage(Phase.WATCHED, HOUR),
            seen(conduct=Conduct(sent=100, bounced=8), baseline=Conduct(sent=900, bounced=36)),
            Phase.BRAKED,
        ),
        # A few test mails to nobody excuse no list.
        (
            stage(Phase.WATCHED, HOUR),
            seen(conduct=Conduct(sent=100, bounced=40), baseline=Conduct(sent=99, bounced=50)),
            Phase.BRAKED,
        ),
    ],
)
def test_the_first_mails_decide(now_stage, sight, phase):
    assert decided(now_stage, sight) == phase


def test_a_brake_says_its_figures_and_its_rule():
    found = step(
        stage(Phase.FIRST),
        seen(conduct=Conduct(sent=60, bounced=6), baseline=Conduct(sent=1_000, bounced=10)),
        LIMITS,
        NOW,
    )
    assert found is not None
    assert found.reason == (
        "10.00% of the first mails bounced (6 of 60), 1.00% of the app's other mail; "
        "the limit is 5.00% (rule stage.bounced, version 1)"
    )


@pytest.mark.parametrize("phase", [Phase.PLANNED, Phase.OPEN, Phase.BRAKED])
def test_what_is_decided_stays(phase):
    assert decided(stage(phase, 9 * HOUR), seen(conduct=Conduct(sent=9, complained=9))) is None


COUNTS = st.integers(0, 1_000)


@given(
    st.one_of(
        st.tuples(st.just(Phase.WATCHED), st.timedeltas(dt.timedelta(), 3 * HOUR)),
        st.tuples(st.sampled_from(Phase), st.none()),
    ),
    COUNTS,
    st.builds(Conduct, sent=COUNTS, bounced=COUNTS, complained=COUNTS, blocked=COUNTS),
    st.builds(Conduct, sent=COUNTS, bounced=COUNTS, complained=COUNTS, blocked=COUNTS),
)
def test_a_stage_moves_along_legal_ways_and_never_opens_early(where, settled, mine, others):
    phase, age = where
    phase = Phase.FIRST if phase is Phase.WATCHED and age is None else phase
    found = decided(stage(phase, age), seen(settled, mine, others))
    assert found is None or found in MOVES[phase]
    if found is Phase.OPEN:
        assert age is not None
        assert age >= HOUR
