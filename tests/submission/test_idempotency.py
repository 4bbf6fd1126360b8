"""One key, one effect, one answer: also for twins, crashes and reused keys."""

import concurrent.futures
import contextlib
import datetime as dt
from collections.abc import Iterator
from uuid import UUID

import orjson
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock import utc_now
from app.db.session import Session, connect, tenant_transaction
from app.errors import IdempotencyKeyReused, InputInvalid, RequestInFlight
from app.submission import idempotency
from app.submission.idempotency import Replay, begin, finish, key_of, request_hash
from tests.factories import make_app

HASH = request_hash("POST", "/v1/emails", b'{"a": 1}')
ANSWER = b'{"id":"1"}'

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture
def app_id(session: Session) -> UUID:
    return make_app(session).id


@pytest.fixture
def second(database: str) -> Iterator[Session]:
    with contextlib.closing(connect(database)) as opened:
        yield opened


def answer(session: Session, app_id: UUID | None, key: str = "key:1:a") -> Replay | None:
    """One whole request: claim, answer, commit."""
    with session.transaction():
        found = begin(session, app_id, key, HASH, utc_now())
        if found is None:
            finish(session, app_id, key, 201, ANSWER)
    return found


def test_the_answer_is_replayed_byte_by_byte(session, app_id) -> None:
    assert answer(session, app_id) is None
    assert answer(session, app_id) == Replay(status=201, body=ANSWER)


def test_another_request_with_the_same_key_is_refused(session, app_id) -> None:
    answer(session, app_id)
    other = request_hash("POST", "/v1/emails", b'{"a": 2}')
    with pytest.raises(IdempotencyKeyReused), session.transaction():
        begin(session, app_id, "key:1:a", other, utc_now())


def test_apps_and_callers_have_keys_of_their_own(session, app_id) -> None:
    answer(session, app_id, key_of("key:1", "a"))
    assert answer(session, app_id, key_of("key:2", "a")) is None
    assert answer(session, make_app(session).id, key_of("key:1", "a")) is None


def test_requests_without_an_app_have_keys_too(session) -> None:
    assert answer(session, None) is None
    assert answer(session, None) == Replay(status=201, body=ANSWER)


def test_the_apis_own_role_can_claim_and_answer(session, app_id) -> None:
    for expected in (None, Replay(status=201, body=ANSWER)):
        with tenant_transaction(session, app_id):
            found = begin(session, app_id, "key:1:a", HASH, utc_now())
            if found is None:
                finish(session, app_id, "key:1:a", 201, ANSWER)
        assert found == expected


def test_a_key_whose_work_was_rolled_back_is_free(session, app_id) -> None:
    with session.transaction(force_rollback=True):
        begin(session, app_id, "key:1:a", HASH, utc_now())
    assert answer(session, app_id) is None


def test_a_key_whose_connection_died_is_free(session, second, app_id, maintenance) -> None:
    with contextlib.suppress(psycopg.OperationalError), second.transaction():
        begin(second, app_id, "key:1:a", HASH, utc_now())
        maintenance.execute("SELECT pg_terminate_backend(%s)", (second.info.backend_pid,))
        second.execute("SELECT 1")
    assert answer(session, app_id) is None


def test_a_twin_waits_for_the_answer(session, second, app_id, maintenance) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with session.transaction():
            begin(session, app_id, "key:1:a", HASH, utc_now())
            twin = pool.submit(answer, second, app_id)
            waiting = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            while maintenance.execute(waiting, (second.info.backend_pid,)).fetchone() is None:
                assert not twin.done()
            finish(session, app_id, "key:1:a", 201, ANSWER)
        assert twin.result() == Replay(status=201, body=ANSWER)


def test_a_twin_does_not_wait_for_ever(session, second, app_id) -> None:
    with session.transaction():
        begin(session, app_id, "key:1:a", HASH, utc_now())
        with pytest.raises(RequestInFlight):
            answer(second, app_id)


def test_the_patience_ends_with_the_claim(session, app_id) -> None:
    with session.transaction():
        begin(session, app_id, "key:1:a", HASH, utc_now())
        assert session.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_a_claim_committed_without_an_answer_is_under_way_for_a_while(session, app_id) -> None:
    begin(session, app_id, "key:1:a", HASH, utc_now())
    with pytest.raises(RequestInFlight):
        begin(session, app_id, "key:1:a", HASH, utc_now())
    later = utc_now() + idempotency.TAKEOVER_AFTER + dt.timedelta(seconds=1)
    assert begin(session, app_id, "key:1:a", HASH, later) is None


def test_an_old_answer_is_forgotten(session, app_id) -> None:
    answer(session, app_id)
    later = utc_now() + idempotency.KEPT_FOR + dt.timedelta(seconds=1)
    assert idempotency.sweep(session, utc_now()) == 0
    assert begin(session, app_id, "key:1:a", HASH, later) is None
    assert idempotency.sweep(session, later + idempotency.KEPT_FOR) == 1


def test_two_hundred_twins_do_the_work_once(database, session, app_id) -> None:
    def request(_: int) -> bytes:
        with contextlib.closing(connect(database)) as own, own.transaction():
            found = begin(own, app_id, "key:1:a", HASH, utc_now())
            if found is not None:
                return found.body
            own.execute(
                "INSERT INTO companies (id, app_id, name) VALUES (%s, %s, 'x')", (app_id,) * 2
            )
            finish(own, app_id, "key:1:a", 201, ANSWER)
            return ANSWER

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(request, range(200)))
    assert answers == {ANSWER}
    assert session.execute("SELECT count(*) FROM companies").fetchone() == (1,)


@pytest.mark.parametrize("header", ["", "with space", "ü", "a\nb", "x" * 256])
def test_an_unusable_key_is_refused(header: str) -> None:
    with pytest.raises(InputInvalid):
        key_of("key:1", header)


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=5), st.randoms())
def test_order_and_white_space_do_not_change_the_hash(value, random) -> None:
    shuffled = list(value.items())
    random.shuffle(shuffled)
    plain = request_hash("POST", "/x", orjson.dumps(value))
    pretty = orjson.dumps(dict(shuffled), option=orjson.OPT_INDENT_2)
    assert request_hash("post", "/x", pretty) == plain


@given(json_values, json_values)
def test_other_values_have_another_hash(one, other) -> None:
    hashes = [request_hash("POST", "/x", orjson.dumps(value)) for value in (one, other)]
    assert (hashes[0] == hashes[1]) == _same(one, other)


def _same(one: object, other: object) -> bool:
    spelt = [orjson.dumps(value, option=orjson.OPT_SORT_KEYS) for value in (one, other)]
    return spelt[0] == spelt[1]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_have_a_hash(one: bytes, other: bytes) -> None:
    assert request_hash("POST", "/x", one) == request_hash("POST", "/x", bytes(one))
    assert len(request_hash("POST", "/x", other)) == 32
