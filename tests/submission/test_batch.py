"""A batch: answered in one commit, expanded exactly once per recipient whatever happens."""

import contextlib

import pytest

from app.clock import utc_now
from app.db.session import connect
from app.errors import InputInvalid
from app.lifecycle import ledger
from app.lifecycle.states import State
from app.policy.suppression import Reason, add
from app.privacy import address_hash
from app.submission import batch, lookup
from tests.factories import PEPPER


def addresses(count: int) -> list[str]:
    return [f"user{i}@example.com" for i in range(count)]


def expand_all(session) -> int:
    return batch.expand_open(session, PEPPER, utc_now(), 60)


def state_of(session, batch_id):
    query = "SELECT status, accepted, expanded, body_compressed IS NULL FROM batches WHERE id = %s"
    return session.execute(query, (batch_id,)).fetchone()


def test_every_recipient_gets_one_mail_with_its_variables(session, submit_batch) -> None:
    people = [{"to": one, "personalizations": {"n": one}} for one in addresses(2_500)]
    done = submit_batch(people, html="<p>{{n}}</p>")
    assert (done.accepted, done.rejected) == (2_500, ())
    assert expand_all(session) == 2_500
    assert state_of(session, done.id) == ("expanded", 2_500, 2_500, True)
    rows = session.execute("SELECT to_email, variables FROM emails").fetchall()
    assert sorted(rows) == sorted((one, {"n": one}) for one in addresses(2_500))


def test_what_cannot_be_written_to_is_reported_with_its_place(session, submit_batch) -> None:
    done = submit_batch(["ana@example.com", "nobody", "ANA@example.com", {"to": {"email": ""}}])
    assert done.accepted == 1
    assert [one["pointer"] for one in done.rejected] == [
        "/emails/1/to",
        "/emails/2/to",
        "/emails/3/to",
    ]
    ((stored,),) = session.execute("SELECT rejected FROM batches").fetchall()
    assert stored == list(done.rejected)


def test_a_batch_without_a_valid_recipient_is_refused(submit_batch) -> None:
    with pytest.raises(InputInvalid):
        submit_batch(["nobody"])


def test_numbers_beyond_64_bits_are_refused(submit_batch) -> None:
    with pytest.raises(InputInvalid, match="variables"):
        submit_batch([{"to": "ana@example.com", "variables": {"n": 2**70}}])


def test_the_suppressed_are_rows_in_that_state(session, app_id, submit_batch) -> None:
    add(
        session, app_id, address_hash("user1@example.com", PEPPER), email=None, reason=Reason.MANUAL
    )
    done = submit_batch(addresses(3))
    expand_all(session)
    assert lookup.batch_counts(session, app_id, done.id) == {
        State.SCHEDULED: 2,
        State.SUPPRESSED: 1,
    }


def test_the_books_balance_before_meanwhile_and_after(session, app_id, submit_batch) -> None:
    done = submit_batch(addresses(1_500))
    books = []

    def balance():
        books.append(ledger.of_batch(session, done.id))
        books.append(ledger.of_app(session, app_id))

    balance()
    for _ in batch.expand(session, done.id, PEPPER, utc_now()):
        balance()
    assert {book.off_by for book in books} == {0}
    assert {book.planned for book in books} == {1_500}


def test_a_killed_expansion_goes_on_where_it_was(
    database, session, submit_batch, maintenance
) -> None:
    done = submit_batch(addresses(2_500))
    with contextlib.closing(connect(database)) as dying:
        going = batch.expand(dying, done.id, PEPPER, utc_now())
        next(going)
        maintenance.execute("SELECT pg_terminate_backend(%s)", (dying.info.backend_pid,))
        with contextlib.suppress(Exception):
            next(going)
    assert state_of(session, done.id)[:3] == ("expanding", 2_500, 1_000)
    assert expand_all(session) == 1_500
    rows = session.execute("SELECT count(*), count(DISTINCT to_email) FROM emails").fetchall()
    assert rows == [(2_500, 2_500)]


def test_a_batch_in_other_hands_is_left_alone(database, session, submit_batch) -> None:
    done = submit_batch(addresses(10))
    with contextlib.closing(connect(database)) as other, other.transaction():
        other.execute("SELECT FROM batches WHERE id = %s FOR UPDATE", (done.id,))
        assert expand_all(session) == 0
    assert expand_all(session) == 10
    assert expand_all(session) == 0


def test_a_batch_that_cannot_be_read_does_not_stop_the_next(session, submit_batch) -> None:
    broken, whole = submit_batch(addresses(1)), submit_batch(addresses(2))
    session.execute("UPDATE batches SET body_compressed = 'x' WHERE id = %s", (broken.id,))
    assert expand_all(session) == 2
    assert state_of(session, broken.id)[0] == "failed"
    assert state_of(session, whole.id)[0] == "expanded"
