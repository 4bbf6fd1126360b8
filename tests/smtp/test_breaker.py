"""When a server is left alone: every rule of the breaker, without a clock."""

import datetime as dt

from app.smtp import breaker as rules
from app.smtp.breaker import CLOSED, OPEN_FOR, PROBE_LEASE, Breaker, Phase

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def failing(times: int) -> Breaker:
    found = CLOSED
    for _ in range(times):
        found = rules.failed(found, "connect: refused", NOW)
    return found


def test_four_failures_leave_it_closed() -> None:
    found = failing(4)
    assert (found.is_closed, found.probe_at) == (True, None)


def test_the_fifth_failure_opens_it_for_thirty_seconds() -> None:
    found = failing(5)
    assert (found.phase, found.probe_at) == (Phase.OPEN, NOW + dt.timedelta(seconds=30))
    assert found.reason == "connect: refused"


def test_an_answer_between_failures_starts_the_count_again() -> None:
    found = rules.failed(rules.answered(failing(4), NOW), "again", NOW)
    assert (found.is_closed, found.failures) == (True, 1)


def test_no_probe_before_its_time_and_none_while_closed() -> None:
    assert rules.probing(failing(5), NOW + OPEN_FOR - dt.timedelta(milliseconds=1)) is None
    assert rules.probing(CLOSED, NOW) is None


def test_one_probe_at_a_time() -> None:
    probing = rules.probing(failing(5), NOW + OPEN_FOR)
    assert probing is not None
    assert probing.phase is Phase.HALF_OPEN
    assert rules.probing(probing, NOW + OPEN_FOR) is None


def test_a_probe_whose_worker_died_is_given_to_another() -> None:
    probing = rules.probing(failing(5), NOW + OPEN_FOR)
    assert probing is not None
    assert rules.probing(probing, NOW + OPEN_FOR + PROBE_LEASE) is not None


def test_three_answered_probes_close_it() -> None:
    found = failing(5)
    for _ in range(3):
        assert not found.is_closed
        taken = rules.probing(found, NOW + OPEN_FOR)
        assert taken is not None
        found = rules.answered(taken, NOW + OPEN_FOR)
    assert found == CLOSED


def test_a_failed_probe_opens_it_again() -> None:
    probing = rules.probing(failing(5), NOW + OPEN_FOR)
    assert probing is not None
    found = rules.failed(probing, "421", NOW + OPEN_FOR)
    assert (found.phase, found.probe_at) == (Phase.OPEN, NOW + 2 * OPEN_FOR)


def test_late_words_from_before_it_opened_change_nothing() -> None:
    found = failing(5)
    assert rules.answered(found, NOW) == found
    assert rules.failed(found, "late", NOW + dt.timedelta(seconds=9)).probe_at == found.probe_at


def test_a_probe_that_asked_nobody_is_free_again() -> None:
    probing = rules.probing(failing(5), NOW + OPEN_FOR)
    assert probing is not None
    assert rules.probing(rules.let_go(probing, NOW + OPEN_FOR), NOW + OPEN_FOR) is not None
