"""Cron in a time zone: right across clock changes, in words, refused with a sentence."""

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InputInvalid
from app.scheduling import cron


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def runs(expression: str, zone: str, after: str, count: int) -> list[dt.datetime]:
    return list(itertools.islice(cron.runs_after(expression, zone, utc(after)), count))


def test_nine_stays_nine_when_the_clock_changes():
    assert runs("0 9 * * *", "Europe/Berlin", "2026-10-24T00:00", 2) == [
        utc("2026-10-24T07:00"),
        utc("2026-10-25T08:00"),
    ]


def test_an_hour_that_comes_twice_runs_once():
    found = runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2)
    assert found == [utc("2026-10-25T00:30"), utc("2026-10-26T01:30")]


def test_an_hour_that_is_skipped_runs_right_after_it():
    first, second = runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2)
    assert utc("2026-03-29T01:00") <= first <= utc("2026-03-29T01:30")
    assert second == utc("2026-03-30T00:30")


def test_missed_runs_are_counted_and_the_latest_is_named():
    latest, missed = cron.due_runs(
        "0 * * * *", "UTC", utc("2026-01-07T10:00"), utc("2026-01-07T13:20")
    )
    assert (latest, missed) == (utc("2026-01-07T13:00"), 3)


def test_a_person_reads_when_it_runs():
    assert cron.in_words("0 9 * * MON", "Europe/Berlin") == "At 09:00 on Monday, Europe/Berlin"


def test_white_space_has_one_spelling():
    assert cron.checked(" 0  9 * *\tMON\n") == "0 9 * * MON"


@pytest.mark.parametrize("text", ["", "x", "@daily", "61 * * * *", "* * * * * *", "0 0 30 2 *"])
def test_what_never_runs_is_refused(text: str):
    with pytest.raises(InputInvalid) as refused:
        cron.checked(text)
    assert refused.value.field == "cron"


@given(st.text(alphabet="0123456789*/,-LW#? MONJA", max_size=40))
def test_any_text_is_an_expression_or_refused(text: str):
    try:
        found = cron.checked(text)
    except InputInvalid:
        return
    assert cron.checked(found) == found
