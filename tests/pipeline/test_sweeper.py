"""Lost messages, a wiped RabbitMQ, dead letters of single mails: the rows know."""

import datetime as dt
import threading

import pika
import pytest

from app.db.session import connect
from app.errors import PublishUnconfirmed
from app.ids import new_id
from app.lifecycle.chunks import Chunk, Review
from app.queueing import redrive, topology
from app.queueing.payloads import TickPayload
from tests.factories import make_email, make_queue


@pytest.fixture
def sweep(run_pass):  # noqa: ARG001 - a pass's parts: publisher and limiter of this process
    """Runs one sweep in this process."""
    from actors import housekeep  # noqa: PLC0415 - the broker reads the test's settings

    return lambda: housekeep.sweep(TickPayload(reason="test"))


@pytest.fixture
def statuses(session):
    def read():
        return dict(session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall())

    return read


def wipe(configured) -> None:
    """Delete every queue and exchange, as an emptied data directory does."""
    connection = pika.BlockingConnection(pika.URLParameters(configured.rabbitmq_url))
    channel = connection.channel()
    plan = topology.topology()
    for queue in plan.queues:
        channel.queue_delete(queue.name)
    for exchange in plan.exchanges:
        channel.exchange_delete(exchange.name)
    connection.close()


def let_seconds_pass(session, seconds: int) -> None:
    query = "UPDATE released_chunks SET touched_at = touched_at - %s"
    session.execute(query, (dt.timedelta(seconds=seconds),))


def test_a_wiped_rabbitmq_is_filled_again_from_the_rows(
    session, configured, make_sender, run_pass, sweep, fleet, inbox, until, statuses
) -> None:
    sender = make_sender()
    for _ in range(300):
        make_email(session, sender.app_id, **sender.fields)
    assert run_pass().released == 300
    wipe(configured)
    let_seconds_pass(session, 1)
    sweep()
    assert statuses() == {"queued": 300}
    let_seconds_pass(session, 15)
    with pytest.raises(PublishUnconfirmed):
        sweep()  # its connection is older than the wipe; the next one declares the queues again
    sweep()
    fleet.start()
    until(lambda: statuses() == {"sent": 300}, 30)
    assert len(inbox.messages()) == 300


def test_what_waits_in_a_queue_is_not_published_again(
    session, make_sender, run_pass, sweep
) -> None:
    sender = make_sender()
    make_email(session, sender.app_id, **sender.fields)
    run_pass()
    let_seconds_pass(session, 60)
    sweep()
    assert session.execute("SELECT republished FROM released_chunks").fetchall() == [(0,)]
    let_seconds_pass(session, 300)
    sweep()
    assert session.execute("SELECT republished FROM released_chunks").fetchall() == [(1,)]


def test_two_sweepers_at_once_publish_a_chunk_once(
    session, database, make_sender, run_pass
) -> None:
    from actors import housekeep  # noqa: PLC0415 - the broker reads the test's settings

    sender = make_sender()
    make_email(session, sender.app_id, **sender.fields)
    run_pass()
    let_seconds_pass(session, 60)
    gate = threading.Barrier(2)

    def one() -> None:
        with connect(database) as own:
            gate.wait()
            housekeep.sweep_chunks(own, dt.timedelta(seconds=15))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.execute("SELECT republished FROM released_chunks").fetchall() == [(1,)]


def test_a_chunk_published_again_comes_in_smaller_pieces_each_time(run_pass) -> None:  # noqa: ARG001 - the settings
    from actors import housekeep  # noqa: PLC0415 - the broker reads the test's settings

    ids = [new_id() for _ in range(16)]
    chunk = Chunk(
        id=new_id(),
        app_id=new_id(),
        account_id=new_id(),
        lane="normal",
        payload={"email_ids": [str(i) for i in ids], "lead_ids": [None] * 16},
        size=16,
    )

    def sizes(republished: int) -> list[int]:
        review = Review(
            chunk=chunk,
            queued=tuple(ids),
            expired=(),
            held=0,
            is_stale=True,
            republished=republished,
        )
        return [piece.size for piece in housekeep.pieces(review)]

    assert [sizes(n) for n in range(3)] == [[16], [4] * 4, [1] * 16]
    assert sizes(9) == [1] * 16


def test_a_mail_without_attempts_left_becomes_one_dead_letter(
    session, configured, make_sender, run_pass, sweep, fleet, until, statuses
) -> None:
    sender = make_sender()
    queue = make_queue(session, sender.app_id, retry_delays_s=(30,))
    fields = sender.fields | {"queue_id": queue.id}
    email_id = make_email(
        session, sender.app_id, to_email="defer+451@example.com", attempt=1, **fields
    )
    fleet.start()
    run_pass()
    until(lambda: statuses() == {"failed": 1})
    for _ in range(2):
        sweep()
    with redrive.opened(configured.rabbitmq_url) as channel:
        (letter,) = redrive.peek(channel, "send.normal", 10)
    assert (letter.error_class, letter.attempts) == ("AttemptsExhausted", 2)
    assert letter.error == "attempts exhausted; last reply: 451 4.7.1 try again later"
    assert str(email_id) in letter.body.decode()
    rows = session.execute("SELECT id, published_at IS NULL FROM dead_letters").fetchall()
    assert rows == [(letter.id, False)]


def test_a_refusal_for_good_makes_no_dead_letter(
    session, make_sender, run_pass, fleet, until, statuses
) -> None:
    sender = make_sender()
    make_email(session, sender.app_id, to_email="bounce+550@example.com", **sender.fields)
    fleet.start()
    run_pass()
    until(lambda: statuses() == {"failed": 1})
    assert session.execute("SELECT count(*) FROM dead_letters").fetchone() == (0,)


@pytest.mark.parametrize(
    ("policy", "state"), [("hold", "unknown"), ("assume_sent", "sent"), ("resend", "scheduled")]
)
def test_a_reply_never_seen_is_treated_as_the_queue_says(
    session, make_sender, run_pass, fleet, inbox, until, statuses, policy, state
) -> None:
    sender = make_sender()
    queue = make_queue(session, sender.app_id, on_unknown=policy)
    fields = sender.fields | {"queue_id": queue.id}
    make_email(session, sender.app_id, to_email="close-after-dot@example.com", **fields)
    fleet.start()
    run_pass()
    until(lambda: statuses() == {state: 1})
    assert len(inbox.messages()) == 1
