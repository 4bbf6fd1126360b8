import datetime as dt
from decimal import Decimal

import pytest

from app.policy.warmup import WarmUp, daily_limit

DAY_0 = dt.date(2026, 1, 1)
RAMP = WarmUp(started_on=DAY_0, daily_start=50, growth=Decimal("1.5"))


@pytest.mark.parametrize(("day", "limit"), [(0, 50), (1, 75), (2, 112), (5, 379), (10, 1000)])
def test_the_ramp_grows_daily_up_to_the_full_limit(day, limit):
    assert daily_limit(1000, RAMP, DAY_0 + dt.timedelta(days=day)) == limit


def test_without_a_ramp_the_full_limit_counts():
    assert daily_limit(1000, None, DAY_0) == 1000
    assert daily_limit(None, None, DAY_0) is None


def test_a_ramp_without_a_full_limit_ends_after_ninety_days():
    assert daily_limit(None, RAMP, DAY_0) == 50
    assert daily_limit(None, RAMP, DAY_0 + dt.timedelta(days=90)) is None


def test_a_ramp_that_starts_tomorrow_allows_its_first_day():
    assert daily_limit(1000, RAMP, DAY_0 - dt.timedelta(days=1)) == 50
