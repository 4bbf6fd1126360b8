"""A benchmark that cannot say where the mail went says no rate."""

import pytest

from app.errors import LedgerOff
from infra.load.agreement import Counted, require_agreement, require_all


def test_three_equal_counts_agree():
    require_agreement("us", 7, Counted(arrived=7, sent_rows=7, sent_events=7))


@pytest.mark.parametrize(
    "counted",
    [
        Counted(arrived=6, sent_rows=7, sent_events=7),
        Counted(arrived=8, sent_rows=7, sent_events=7),
        Counted(arrived=7, sent_rows=6, sent_events=7),
        Counted(arrived=7, sent_rows=7, sent_events=6),
    ],
)
def test_any_disagreement_refuses_the_rate(counted: Counted):
    with pytest.raises(LedgerOff, match="No rate for us"):
        require_agreement("us", 7, counted)


def test_counts_that_agree_on_the_wrong_number_refuse_the_rate():
    with pytest.raises(LedgerOff):
        require_agreement("us", 8, Counted(arrived=7, sent_rows=7, sent_events=7))


def test_an_answered_hit_that_was_not_stored_refuses_the_rate():
    require_all("hits", 10, 12)
    with pytest.raises(LedgerOff, match="1 of 10 were lost"):
        require_all("hits", 10, 9)
