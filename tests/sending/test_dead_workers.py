"""What journals of dead workers say about the mails they held."""

import datetime as dt

import pytest

from app.clock import utc_now
from app.sending import settle
from tests.factories import make_account, make_app, make_email, make_queue

NOW = utc_now()


@pytest.fixture
def held(session):
    """Makes mails that the dead worker "dead" holds with fence 1."""
    app_id = make_app(session).id
    account_id = make_account(session, app_id).id

    def make(**fields):
        given = {"status": "sending", "fence": 1, "attempt": 1, "starts": 1} | fields
        return make_email(session, app_id, account_id=account_id, claimed_by="dead/7", **given)

    make.app_id = app_id
    return make


def witness(ids, started=(), replied=None):
    return settle.Testimony(
        worker="dead",
        claimed=frozenset(ids),
        started=frozenset((one, 1) for one in started),
        replied=replied or {},
    )


def row(session, email_id):
    query = "SELECT status, attempt, starts, due_at FROM emails WHERE id = %s"
    return session.execute(query, (email_id,)).fetchone()


def test_a_mail_that_never_left_is_due_now_and_its_start_stays_counted(session, held) -> None:
    email_id = held()
    assert settle.settle(session, witness([email_id]), NOW) == {"untried": 1}
    assert row(session, email_id) == ("scheduled", 0, 1, NOW)


def test_mails_that_died_together_again_come_back_apart(session, held) -> None:
    ids = [held(starts=2) for _ in range(5)]
    settle.settle(session, witness(ids), NOW)
    times = {row(session, email_id)[3] for email_id in ids}
    assert len(times) == 5
    assert max(times) <= NOW + dt.timedelta(seconds=11)


def test_a_mail_with_a_reply_in_the_journal_forgets_its_starts(session, held) -> None:
    email_id = held(starts=3)
    settle.settle(session, witness([email_id], [email_id], {(email_id, 1): (250, "ok")}), NOW)
    assert row(session, email_id)[:3] == ("sent", 1, 0)


def test_a_mail_that_left_without_a_reply_follows_its_queue(session, held) -> None:
    queue = make_queue(session, held.app_id, on_unknown="resend")
    lost, risked = held(), held(queue_id=queue.id)
    settle.settle(session, witness([lost, risked], [lost, risked]), NOW)
    assert row(session, lost)[0] == "unknown"
    assert row(session, risked)[0] == "scheduled"


def test_another_workers_mails_are_left_alone(session, held) -> None:
    email_id = held()
    session.execute("UPDATE emails SET claimed_by = 'alive/7'")
    assert settle.settle(session, witness([email_id]), NOW) == {}
    assert row(session, email_id)[0] == "sending"
