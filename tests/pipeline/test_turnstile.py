"""One hanging SMTP server does not take every thread."""

import threading

import pytest

from actors.turnstile import Turnstile

HANGING, FINE = ("mail.slow.example", 25), ("mail.fine.example", 25)


def test_a_server_that_never_answered_gets_one_thread() -> None:
    turnstile = Turnstile(4)
    with turnstile.passing(HANGING, 0) as first, turnstile.passing(HANGING, 0) as second:
        assert (first, second) == (True, False)
        with turnstile.passing(FINE, 0) as other:
            assert other


def test_a_server_that_answers_gets_all_threads_but_one() -> None:
    turnstile = Turnstile(3)
    with turnstile.passing(FINE, 0):
        turnstile.moved(FINE)
        with turnstile.passing(FINE, 0) as second, turnstile.passing(FINE, 0) as third:
            assert (second, third) == (True, False)


def test_a_thread_waits_for_its_turn() -> None:
    turnstile = Turnstile(2)
    entered = threading.Event()

    def wait() -> None:
        with turnstile.passing(FINE, 10) as may_pass:
            if may_pass:
                entered.set()

    with turnstile.passing(FINE, 0):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.is_set()
    assert entered.wait(5)
    thread.join()


def test_leaving_makes_room_whatever_happened_inside() -> None:
    turnstile = Turnstile(2)
    with pytest.raises(ZeroDivisionError), turnstile.passing(FINE, 0):
        _ = 1 / 0
    with turnstile.passing(FINE, 0) as again:
        assert again


def test_it_tells_whether_there_is_room_without_entering() -> None:
    turnstile = Turnstile(2)
    assert turnstile.has_room(FINE)
    with turnstile.passing(FINE, 0):
        assert not turnstile.has_room(FINE)
        assert turnstile.has_room(HANGING)
    assert turnstile.has_room(FINE)
