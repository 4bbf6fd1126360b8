import threading
import uuid

import pytest

from app.db.session import connect
from app.policy import suppression
from app.policy.suppression import SUPPRESSED_SQL, Reason, Suppression
from app.privacy import address_hash
from tests.factories import PEPPER, make_app

ANN = address_hash("ann@example.com", PEPPER)
BOB = address_hash("bob@example.com", PEPPER)


@pytest.fixture
def app_id(session):
    return make_app(session).id


def add(session, app_id, email_hash=ANN, reason=Reason.UNSUBSCRIBE):
    return suppression.add(session, app_id, email_hash, email="ann@example.com", reason=reason)


def test_an_address_is_suppressed_once_and_the_first_reason_stays(session, app_id):
    assert add(session, app_id)
    assert not add(session, app_id, reason=Reason.MANUAL)
    rows = session.execute("SELECT email, reason FROM suppression_list").fetchall()
    assert rows == [("ann@example.com", "unsubscribe")]


def test_an_entry_holds_for_its_app_only(session, app_id):
    add(session, app_id)
    assert suppression.suppressed(session, app_id, [ANN, BOB]) == {ANN}
    assert suppression.suppressed(session, uuid.uuid4(), [ANN, BOB]) == set()


def test_an_entry_without_app_holds_for_every_app_and_exists_once(session, app_id):
    assert add(session, None)
    assert not add(session, None)
    assert suppression.is_suppressed(session, app_id, ANN)


def test_removing_lifts_only_the_named_entry(session, app_id):
    add(session, None)
    add(session, app_id)
    assert suppression.remove(session, app_id, ANN)
    assert not suppression.remove(session, app_id, ANN)
    assert suppression.is_suppressed(session, app_id, ANN)
    assert suppression.remove(session, None, ANN)
    assert not suppression.is_suppressed(session, app_id, ANN)


def test_the_fragment_finds_suppressed_mails_of_this_app_and_of_all(session, app_id):
    add(session, app_id)
    add(session, None, BOB)
    rows = [(app_id, ANN), (app_id, BOB), (app_id, b"x" * 16), (uuid.uuid4(), ANN)]
    found = session.execute(
        "SELECT ord FROM unnest(%s::uuid[], %s::bytea[]) WITH ORDINALITY AS e(app_id, to_hash, ord) "
        f"WHERE {SUPPRESSED_SQL} ORDER BY 1",
        ([row[0] for row in rows], [row[1] for row in rows]),
    ).fetchall()
    assert found == [(1,), (2,)]


def test_adding_nothing_is_fine(session):
    assert suppression.add_all(session, []) == 0


def test_two_workers_suppressing_the_same_people_do_not_wait_in_a_circle(database, app_id):
    hashes = [address_hash(f"p{n}@example.com", PEPPER) for n in range(200)]
    added = []

    def work(order: int) -> None:
        entries = [
            Suppression(app_id=app_id, email_hash=h, email=None, reason=Reason.HARD_BOUNCE)
            for h in hashes[::order]
        ]
        with connect(database) as own:
            added.append(suppression.add_all(own, entries))

    workers = [threading.Thread(target=work, args=(order,)) for order in (1, -1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(added) == 200
