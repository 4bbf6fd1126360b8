"""The table of a benchmark: ratios, goals, and what stays open without a peer."""

import pytest

from infra.load.figures import Direction, Figure, Goal, number, table

TWELVE_TIMES = Goal(direction=Direction.AT_LEAST, limit=12, is_ratio=True)
AT_MOST_20 = Goal(direction=Direction.AT_MOST, limit=20)


def test_a_ratio_goal_is_judged_by_the_ratio():
    assert Figure(name="x", ours=120, unit="/s", other=10, goal=TWELVE_TIMES).is_reached is True
    assert Figure(name="x", ours=119, unit="/s", other=10, goal=TWELVE_TIMES).is_reached is False


def test_a_plain_goal_is_judged_by_our_value_whatever_the_peer_does():
    figure = Figure(name="p99", ours=19, unit="ms", other=1, goal=AT_MOST_20)
    assert figure.is_reached is True
    assert figure.ratio == 19


def test_a_ratio_goal_stays_open_without_a_peer():
    figure = Figure(name="x", ours=120, unit="/s", goal=TWELVE_TIMES)
    assert figure.ratio is None
    assert figure.is_reached is None


def test_the_table_says_figure_values_ratio_goal_and_whether_it_was_reached():
    lines = table(
        "send",
        [
            Figure(name="mails/s", ours=4_200.4, unit="/s", other=300, goal=TWELVE_TIMES),
            Figure(name="p99", ours=25, unit="ms", goal=AT_MOST_20),
        ],
    ).splitlines()
    assert lines[0] == "send"
    assert lines[1].split() == ["figure", "ours", "peer", "ratio", "goal", "reached"]
    assert lines[2].split() == ["mails/s", "4,200", "/s", "300", "/s", "14x", ">=", "12x", "yes"]
    assert lines[3].split() == ["p99", "25", "ms", "-", "-", "<=", "20", "NO"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (1234.5, "1,234"), (99.96, "100"), (12.34, "12.3"), (1.5, "1.5"), (0.103, "0.103")],
)
def test_numbers_show_the_digits_that_count(value: float, said: str):
    assert number(value) == said
