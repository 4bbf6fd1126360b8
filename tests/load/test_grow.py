"""The cost of a mail by the size of the table: medians, against the smallest."""

import pytest

from infra.load.grow import figures
from infra.load.round import Round
from infra.load.usage import Spent


def rounds(*costs: float) -> list[Round]:
    return [Round(mails=100, seconds=1, spent=Spent(by_name={"workers": each})) for each in costs]


@pytest.mark.parametrize(("dear", "is_reached"), [(1.14, True), (1.16, False)])
def test_a_large_table_is_held_against_the_smallest_by_medians(*, dear: float, is_reached: bool):
    found = figures({10: rounds(1.0, 9.0, 0.5), 1_000: rounds(dear, dear, 99.0)})
    costs = [figure for figure in found if "CPU" in figure.name]
    assert [figure.ours for figure in costs] == [1.0, dear]
    assert [figure.is_reached for figure in costs] == [None, is_reached]
