"""What becomes of a message that fails: the ladder, the dead letters, or back to its queue."""

import itertools
import threading
import time

import dramatiq
import orjson
import pytest
from dramatiq.middleware import Shutdown

from app.errors import DependencyUnavailable, InputInvalid, NotFound
from app.queueing import dead_letters, messages
from app.queueing.payloads import Payload
from tests.queueing.conftest import RUNGS, wait_until

APP = "01980000-0000-7000-8000-000000000001"


class Work(Payload):
    app_id: str = APP
    to: str = "canary@example.com"


@pytest.fixture
def letters():
    """What the workers recorded."""
    return []


@pytest.fixture
def record(letters):
    """Recording without a database; one test writes the row."""
    return letters.append


def put(vhost, fleet, **request):
    vhost.put(fleet.queue, messages.encode("work", fleet.queue, Work(), **request).body)


def rows(session):
    return session.execute(
        "SELECT id, queue, actor, message, error_class, error, traceback, attempts, reason,"
        " request_id, status FROM dead_letters"
    ).fetchall()


def test_attempt_n_waits_on_rung_n(vhost, fleet):
    started = []

    def work(payload):  # noqa: ARG001 - the payload does not matter
        started.append(time.monotonic())
        raise DependencyUnavailable("The database is away.")

    fleet.actor(work)
    fleet.start()
    put(vhost, fleet)
    headers, _ = vhost.take(f"dlq.{fleet.queue}")
    waits = [round(b - a, 3) for a, b in itertools.pairwise(started)]
    assert len(waits) == 3
    assert all(w >= rung.delay.total_seconds() for w, rung in zip(waits, RUNGS, strict=True))
    assert headers["x-attempts"] == 4


def test_exhausted_message_dies_with_readable_headers_and_a_row(vhost, fleet, letters, session):
    def work(payload):
        raise DependencyUnavailable("The database is away.", why=f"{payload['app_id'][:2]}.")

    fleet.actor(work, max_retries=1)
    fleet.start()
    put(vhost, fleet, request_id="req-1")
    headers, body = vhost.take(f"dlq.{fleet.queue}")
    wait_until(lambda: letters)
    dead_letters.record(session, letters[0])
    [row] = rows(session)
    assert headers["x-reason"] == "exhausted: failed 2 times"
    assert headers["x-error"] == "The database is away. 01."
    assert headers["x-error-class"] == "DependencyUnavailable"
    assert headers["x-attempts"] == 2
    assert headers["x-failed-at"].startswith("20")
    assert headers["x-app"] == APP
    assert headers["x-request-id"] == "req-1"
    assert (headers["x-queue"], headers["x-actor"]) == (fleet.queue, "work")
    message = messages.decode(body)
    assert "in work" in message.options["traceback"]
    assert str(row[0]) == headers["x-dead-letter-id"]
    assert row[1:3] == (fleet.queue, "work")
    assert row[3]["kwargs"]["payload"]["app_id"] == APP
    assert row[4:6] == ("DependencyUnavailable", "The database is away. 01.")
    assert "in work" in row[6]
    assert row[7:] == (2, "exhausted: failed 2 times", "req-1", "open")


@pytest.mark.parametrize(
    "error", [InputInvalid("Broken."), NotFound("Gone."), ValueError], ids=lambda e: repr(e)[:12]
)
def test_only_permanent_errors_die_at_once(vhost, fleet, error):
    calls = []

    def work(payload):  # noqa: ARG001 - the payload does not matter
        calls.append(1)
        raise error

    fleet.actor(work)
    fleet.start()
    put(vhost, fleet)
    headers, _ = vhost.take(f"dlq.{fleet.queue}")
    assert len(calls) == (4 if error is ValueError else 1)
    assert headers["x-reason"].startswith("exhausted" if error is ValueError else "permanent")


def test_arguments_no_actor_takes_die_at_once(vhost, fleet):
    fleet.actor(lambda: None)
    fleet.start()
    put(vhost, fleet)
    headers, _ = vhost.take(f"dlq.{fleet.queue}")
    assert headers["x-error-class"] == "TypeError"
    assert headers["x-reason"].startswith("permanent")


def test_type_error_inside_the_actor_is_a_bug_and_waits_for_its_fix(vhost, fleet):
    calls = []

    def work(payload):
        calls.append(1)
        return None if len(calls) > 1 else payload + 1

    fleet.actor(work)
    fleet.start()
    put(vhost, fleet)
    wait_until(lambda: len(calls) == 2)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\x00 not json", "not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"queue_name": 7}', "queue_name is missing or no text"),
    ],
)
def test_undecodable_bytes_die_with_their_reason(vhost, fleet, letters, body, reason):
    fleet.actor(lambda payload: None)  # noqa: ARG005 - never called
    fleet.start()
    wait_until(lambda: declared(vhost, fleet.queue))
    vhost.put(fleet.queue, body)
    headers, dead = vhost.take(f"dlq.{fleet.queue}")
    assert dead == body
    assert reason in headers["x-error"]
    assert headers["x-reason"] == "malformed: never reached an actor"
    assert wait_until(lambda: letters)[0].error_class == "MessageMalformed"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"actor_name": "unheard_of"}, "No actor is called unheard_of"),
        ({"queue_name": "schedule"}, "A message for schedule arrived on"),
        ({"options": {"eta": 4_102_444_800_000}}, "eta"),
    ],
)
def test_message_no_actor_here_can_take_dies_with_its_reason(vhost, fleet, change, reason):
    done = []
    fleet.actor(done.append)
    fleet.start(threads=1)
    wait_until(lambda: declared(vhost, fleet.queue))
    fields = orjson.loads(messages.encode("work", fleet.queue, Work()).body)
    vhost.put(fleet.queue, orjson.dumps({**fields, **change}))
    headers, _ = vhost.take(f"dlq.{fleet.queue}")
    assert reason in headers["x-error"]


def declared(vhost, queue):
    return queue in {found["name"] for found in vhost.api(f"queues/{vhost.name}")}


def away(letter):
    raise DependencyUnavailable("PostgreSQL is away.", why=str(letter.id))


@pytest.mark.parametrize("record", [away])
def test_dead_letter_stands_when_its_row_cannot_be_written(vhost, fleet):
    def work(payload):
        raise InputInvalid(f"No {sorted(payload)}.")

    fleet.actor(work)
    fleet.start()
    put(vhost, fleet)
    assert vhost.take(f"dlq.{fleet.queue}")
    assert vhost.depth(fleet.queue) == 0


def test_message_is_not_acked_while_its_retry_cannot_be_published(vhost, fleet):
    """RabbitMQ refuses the publish to the rung (403); the message goes round until it may."""
    calls, may_fail = [], threading.Event()

    def work(payload):  # noqa: ARG001 - the payload does not matter
        calls.append(1)
        may_fail.wait(10)
        raise DependencyUnavailable("The database is away.")

    fleet.actor(work)
    fleet.start(threads=1)
    put(vhost, fleet)
    wait_until(lambda: calls)
    vhost.allow(write="^$")
    may_fail.set()
    wait_until(lambda: len(calls) >= 2)
    vhost.allow(write=".*")
    headers, _ = vhost.take(f"dlq.{fleet.queue}")
    assert headers["x-attempts"] == 4


def test_shutdown_puts_a_message_back_without_climbing(vhost, fleet):
    retries = []

    def work(payload):  # noqa: ARG001 - the payload does not matter
        message = dramatiq.middleware.CurrentMessage.get_current_message()
        retries.append(message.options.get("retries", 0))
        if len(retries) == 1:
            raise Shutdown

    fleet.actor(work)
    fleet.start()
    put(vhost, fleet)
    wait_until(lambda: len(retries) == 2)
    assert retries == [0, 0]


def test_actor_over_its_time_limit_climbs(vhost, fleet):
    calls = []

    def work(payload):  # noqa: ARG001 - the payload does not matter
        calls.append(1)
        while len(calls) == 1:
            time.sleep(0.01)

    fleet.actor(work, time_limit=100)
    fleet.start(threads=1)
    put(vhost, fleet)
    wait_until(lambda: len(calls) == 2)


def test_delay_waits_on_the_next_longer_rung(vhost, fleet):
    done = []
    actor = fleet.actor(lambda: done.append(time.monotonic()))
    fleet.start()
    started = time.monotonic()
    actor.send_with_options(delay=150)
    wait_until(lambda: done)
    assert done[0] - started >= 0.2
    assert not [q for q in vhost.api(f"queues/{vhost.name}") if q["name"].endswith((".DQ", ".XQ"))]


def test_delay_longer_than_the_ladder_is_refused(fleet):
    actor = fleet.actor(lambda: None)
    with pytest.raises(InputInvalid, match="longest rung"):
        actor.send_with_options(delay=301)


def test_workers_fetch_no_more_than_their_threads_can_take(vhost, fleet):
    calls = []
    fleet.actor(lambda payload: calls.append(payload) or time.sleep(0.5))
    fleet.start(threads=2)
    wait_until(lambda: declared(vhost, fleet.queue))
    for _ in range(6):
        put(vhost, fleet)
    wait_until(lambda: len(calls) == 2)
    assert vhost.depth(fleet.queue) >= 4


def test_logs_never_show_the_payload_of_a_failed_message(vhost, fleet, caplog, capfd):
    fleet.actor(lambda payload: 1 / 0)  # noqa: ARG005 - fails before it reads
    fleet.start()
    put(vhost, fleet)
    vhost.take(f"dlq.{fleet.queue}")
    assert "unhandled exception" in caplog.text
    assert "canary" not in caplog.text + "".join(capfd.readouterr())
