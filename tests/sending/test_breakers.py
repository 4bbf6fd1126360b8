"""Breakers in PostgreSQL: one truth for all workers."""

import threading

import pytest

from app.db.session import connect
from app.scheduling import due
from app.sending import breakers
from app.smtp.breaker import Phase
from tests.factories import make_account, make_app, make_email, make_smtp_config


@pytest.fixture
def app_id(session):
    return make_app(session).id


@pytest.fixture
def server_id(session, app_id):
    return make_smtp_config(session, app_id).id


def fail(session, server_id, times=5):
    for _ in range(times):
        found = breakers.note_failure(session, server_id, "connect: refused")
    return found


def let_time_pass(session):
    session.execute("UPDATE smtp_breakers SET probe_at = now()")


def test_failures_of_all_workers_add_up(session, database, server_id) -> None:
    fail(session, server_id, 3)
    with connect(database) as other:
        assert fail(other, server_id, 1).is_closed
        assert fail(other, server_id, 1).phase is Phase.OPEN


def test_five_failures_at_the_same_moment_all_count(session, database, server_id) -> None:
    gate = threading.Barrier(5)

    def one() -> None:
        with connect(database) as own:
            gate.wait()
            breakers.note_failure(own, server_id, "421")

    threads = [threading.Thread(target=one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((phase, failures),) = session.execute("SELECT phase, failures FROM smtp_breakers").fetchall()
    assert (phase, failures) == ("open", 5)


def test_of_two_workers_one_gets_the_probe(session, database, server_id) -> None:
    fail(session, server_id)
    assert breakers.take_probe(session, server_id)[0] is False
    let_time_pass(session)
    with connect(database) as other:
        assert breakers.take_probe(session, server_id)[0] is True
        assert breakers.take_probe(other, server_id)[0] is False


def test_a_probe_given_back_is_free_for_the_next(session, server_id) -> None:
    fail(session, server_id)
    let_time_pass(session)
    breakers.take_probe(session, server_id)
    breakers.let_go(session, server_id)
    assert breakers.take_probe(session, server_id)[0] is True


def test_three_answered_probes_close_it_for_all(session, server_id) -> None:
    fail(session, server_id)
    let_time_pass(session)
    for _ in range(3):
        assert breakers.take_probe(session, server_id)[0] is True
        found = breakers.note_answer(session, server_id)
    assert found.is_closed
    rows = session.execute("SELECT phase, failures, probe_at FROM smtp_breakers").fetchall()
    assert rows == [("closed", 0, None)]


def test_a_server_that_never_failed_has_no_row(session, server_id) -> None:
    assert breakers.note_answer(session, server_id).is_closed
    assert breakers.take_probe(session, server_id)[0] is False
    assert session.execute("SELECT count(*) FROM smtp_breakers").fetchone() == (0,)


def test_nothing_is_released_for_an_open_breaker_until_its_probe(
    session, app_id, server_id
) -> None:
    account_id = make_account(session, app_id, smtp_config_id=server_id).id
    make_email(session, app_id, account_id=account_id)
    fail(session, server_id)
    assert due.accounts(session) == []
    let_time_pass(session)
    (found,) = due.accounts(session)
    assert (found.account_id, found.is_probing) == (account_id, True)
