import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import InputInvalid
from app.scheduling.calendar import EVERY_DAY, Slot, Window, next_open, zone_named

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Santiago",  # changes at midnight
    "Asia/Tehran",
    "Africa/Casablanca",
    "UTC",
]
MINUTE = dt.timedelta(minutes=1)


def utc(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def office(start="09:00", end="17:00", days=EVERY_DAY):
    return Window(
        days=frozenset(days), start=dt.time.fromisoformat(start), end=dt.time.fromisoformat(end)
    )


def test_a_moment_inside_the_window_is_kept():
    slot = next_open(office(), BERLIN, utc("2026-01-07T10:30"))
    assert slot == Slot(opens_at=utc("2026-01-07T10:30"), closes_at=utc("2026-01-07T16:00"))


def test_the_end_of_the_window_is_outside():
    slot = next_open(office(), BERLIN, utc("2026-01-07T16:00"))
    assert slot.opens_at == utc("2026-01-08T08:00")


def test_weekends_are_skipped():
    friday_evening = utc("2026-01-09T20:00")
    slot = next_open(office(days={1, 2, 3, 4, 5}), BERLIN, friday_evening)
    assert slot.opens_at == utc("2026-01-12T08:00")


@pytest.mark.parametrize(
    ("at", "opens_at"),
    [
        ("2026-03-28T18:00", "2026-03-29T07:00"),  # the clocks went forward in the night
        ("2026-10-24T18:00", "2026-10-25T08:00"),  # and back
    ],
)
def test_nine_stays_nine_across_a_clock_change(at, opens_at):
    slot = next_open(office(), BERLIN, utc(at))
    assert slot.opens_at == utc(opens_at)
    assert slot.opens_at.astimezone(BERLIN).hour == 9


def test_a_window_over_midnight_belongs_to_the_day_it_begins():
    night = office("22:00", "06:00", days={5})
    saturday_early = utc("2026-01-10T03:00")
    assert next_open(night, BERLIN, saturday_early) == Slot(
        opens_at=saturday_early, closes_at=utc("2026-01-10T05:00")
    )
    assert next_open(night, BERLIN, utc("2026-01-10T05:00")).opens_at == utc("2026-01-16T21:00")


def test_a_start_that_the_spring_change_skips_moves_to_the_first_moment_after():
    slot = next_open(office("02:30", "04:00"), BERLIN, utc("2026-03-28T20:00"))
    assert slot == Slot(opens_at=utc("2026-03-29T01:00"), closes_at=utc("2026-03-29T02:00"))


def test_a_window_that_the_spring_change_swallows_is_skipped_that_day():
    slot = next_open(office("02:15", "02:45"), BERLIN, utc("2026-03-28T20:00"))
    assert slot.opens_at == utc("2026-03-30T00:15")


def test_a_window_in_the_repeated_hour_opens_once():
    window = office("02:15", "02:45")
    first = next_open(window, BERLIN, utc("2026-10-24T20:00"))
    assert first == Slot(opens_at=utc("2026-10-25T00:15"), closes_at=utc("2026-10-25T00:45"))
    assert next_open(window, BERLIN, first.closes_at).opens_at == utc("2026-10-26T01:15")


def test_whole_days_that_touch_are_one_stretch():
    weekdays = Window(days=frozenset({1, 2, 3, 4, 5}))
    slot = next_open(weekdays, BERLIN, utc("2026-01-06T23:59"))
    assert slot.closes_at == utc("2026-01-09T23:00")


def test_every_day_without_hours_never_closes():
    at = utc("2026-01-07T10:30")
    assert next_open(Window(), BERLIN, at) == Slot(opens_at=at, closes_at=None)


def test_a_day_that_a_zone_skipped_opens_nothing():
    apia = ZoneInfo("Pacific/Apia")  # 30 December 2011 did not exist there
    slot = next_open(office(days={5}), apia, utc("2011-12-29T12:00"))
    assert slot.opens_at.astimezone(apia).date() == dt.date(2012, 1, 6)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("europe/paris", "Europe/Paris"),
    ],
)
def test_an_unknown_timezone_is_refused_with_the_nearest_name(wrong, right):
    with pytest.raises(InputInvalid, match=f"Did you mean {right}"):
        zone_named(wrong)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "\0"])
def test_a_timezone_is_never_a_path(name):
    with pytest.raises(InputInvalid):
        zone_named(name)


@pytest.mark.parametrize(
    "broken",
    [
        {"days": frozenset()},
        {"days": frozenset({0})},
        {"start": dt.time(9), "end": dt.time(9)},
        {"start": dt.time(9)},
    ],
)
def test_a_window_that_can_never_open_is_refused(broken):
    with pytest.raises(InputInvalid):
        Window(**broken)


# The oracle walks minute by minute and asks the zone what its clock shows; no arithmetic.


def shows(zone, wall):
    """The first minute at which the clock of `zone` shows `wall` or later."""
    moment = wall.replace(tzinfo=dt.UTC) - dt.timedelta(hours=15)
    while moment.astimezone(zone).replace(tzinfo=None) < wall:
        moment += MINUTE
    return moment


def openings(window, zone, day):
    for offset in (-1, 0, 1):
        begins = day + dt.timedelta(days=offset)
        if begins.isoweekday() not in window.days:
            continue
        ends = begins if window.start < window.end else begins + dt.timedelta(days=1)
        yield (
            shows(zone, dt.datetime.combine(begins, window.start)),
            shows(zone, dt.datetime.combine(ends, window.end)),
        )


def is_inside(window, zone, moment):
    day = moment.astimezone(zone).date()
    return any(opens <= moment < closes for opens, closes in openings(window, zone, day))


times = st.builds(dt.time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
windows = (
    st.tuples(st.frozensets(st.integers(1, 7), min_size=1), times, times)
    .filter(lambda parts: parts[1] != parts[2])
    .map(lambda parts: Window(days=parts[0], start=parts[1], end=parts[2]))
)
changes = st.sampled_from(
    ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"]
).map(utc)
moments = st.one_of(
    st.builds(lambda day, minutes: day + minutes * MINUTE, changes, st.integers(-3000, 3000)),
    st.integers(0, 10**7).map(lambda minutes: utc("2015-01-01") + minutes * MINUTE),
)


@settings(max_examples=120)
@given(window=windows, name=st.sampled_from(ZONES), at=moments)
@example(window=office("02:30", "02:15"), name="Europe/Berlin", at=utc("2026-03-29T00:59"))
def test_the_slot_is_the_first_moment_inside_the_window(window, name, at):
    zone = ZoneInfo(name)
    slot = next_open(window, zone, at)
    assert slot.opens_at >= at
    assert is_inside(window, zone, slot.opens_at)
    assert is_inside(window, zone, slot.closes_at - MINUTE)
    if slot.opens_at > at:
        assert not is_inside(window, zone, slot.opens_at - MINUTE)
        wait = slot.opens_at - at
        assert not any(is_inside(window, zone, at + wait * i // 8) for i in range(8))
