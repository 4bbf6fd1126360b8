"""Claim and outcome: fenced, in bulk, counted once."""

import datetime as dt
from uuid import UUID

import pytest

from app.clock import utc_now
from app.db.session import Session, connect
from app.ids import new_id, new_ids
from app.lifecycle import attempts, chunks, events
from app.lifecycle.attempts import Outcome
from app.lifecycle.chunks import Chunk
from app.lifecycle.states import State
from tests.factories import make_account, make_app, make_email


@pytest.fixture
def app_id(session: Session) -> UUID:
    return make_app(session).id


@pytest.fixture
def account_id(session: Session, app_id: UUID) -> UUID:
    return make_account(session, app_id).id


def test_only_one_of_two_workers_claims(session: Session, database: str, app_id: UUID) -> None:
    ids = [make_email(session, app_id, status="queued") for _ in range(3)]
    with connect(database) as other:
        mine = attempts.claim(session, ids, "a/1")
        theirs = attempts.claim(other, ids, "b/1")
    assert {row[0] for row in mine} == set(ids)
    assert theirs == []


def test_cancelled_email_is_never_claimed(session: Session, app_id: UUID) -> None:
    email_id = make_email(session, app_id, status="cancelled")
    assert attempts.claim(session, [email_id], "a/1") == []


def test_outcome_of_an_older_claim_is_refused(session: Session, app_id: UUID) -> None:
    email_id = make_email(session, app_id, status="sending", fence=2)
    assert attempts.record(session, [_outcome(email_id, fence=1)], None) == set()
    assert _row(session, email_id)[0] == "sending"


def test_recording_twice_counts_once(session: Session, app_id: UUID) -> None:
    email_id = make_email(session, app_id, status="queued")
    ((_, fence, *_),) = attempts.claim(session, [email_id], "a/1")
    outcome = _outcome(email_id, fence=fence)
    attempts.record(session, [outcome], None)
    attempts.record(session, [outcome], None)
    assert _row(session, email_id)[:2] == ("sent", 1)
    assert _kinds(session) == {"sent": 1}
    assert len(events.timeline(session, email_id)) == 1


def test_a_late_outcome_replaces_unknown_and_corrects_the_count(
    session: Session, app_id: UUID
) -> None:
    email_id = make_email(session, app_id, status="sending", fence=1)
    attempts.record(session, [_outcome(email_id, target=State.UNKNOWN, code=0)], None)
    attempts.record(session, [_outcome(email_id)], None)
    assert _row(session, email_id)[0] == "sent"
    assert _kinds(session) == {"unknown": 0, "sent": 1}


def test_an_untried_mail_gets_its_attempt_back(session: Session, app_id: UUID) -> None:
    email_id = make_email(session, app_id, status="queued")
    ((_, fence, *_),) = attempts.claim(session, [email_id], "a/1")
    untried = _outcome(
        email_id, fence=fence, target=State.SCHEDULED, due_at=utc_now(), is_attempt=False
    )
    attempts.record(session, [untried], None)
    status, attempt = _row(session, email_id)[:2]
    assert (status, attempt) == ("scheduled", 0)
    assert _kinds(session) == {"untried": 1}


def test_one_commit_records_a_batch_and_claims_the_next(session: Session, app_id: UUID) -> None:
    first, second = (make_email(session, app_id, status="queued") for _ in range(2))
    ((_, fence, *_),) = attempts.claim(session, [first], "a/1")
    rows = attempts.record_and_claim(session, [_outcome(first, fence=fence)], None, [second], "a/1")
    assert [row[0] for row in rows] == [second]
    assert _row(session, first)[0] == "sent"


def test_a_claim_whose_commit_was_not_seen_is_found_again(session: Session, app_id: UUID) -> None:
    mine, free, foreign = (make_email(session, app_id, status="queued") for _ in range(3))
    attempts.claim(session, [mine], "a/1")
    attempts.claim(session, [foreign], "a/2")
    rows = attempts.claim_again(session, [mine, free, foreign], "a/1")
    assert {row[0] for row in rows} == {mine, free}


def test_the_first_claim_dates_the_mail_over_retries(session: Session, app_id: UUID) -> None:
    email_id = make_email(session, app_id, status="queued")
    ((_, fence, _, _, first, _),) = attempts.claim(session, [email_id], "a/1")
    back = _outcome(email_id, fence=fence, target=State.SCHEDULED, due_at=utc_now())
    attempts.record(session, [back], None)
    session.execute("UPDATE emails SET status = 'queued', due_at = NULL")
    ((_, _, attempt, _, again, _),) = attempts.claim(session, [email_id], "a/1")
    assert (attempt, again) == (2, first)


def test_a_chunk_is_closed_by_its_rows_not_by_its_counter(
    session: Session, app_id: UUID, account_id: UUID
) -> None:
    done = make_email(session, app_id, status="sent", account_id=account_id)
    left = make_email(session, app_id, status="queued", account_id=account_id)
    chunk = _chunk(app_id, account_id, [done, left])
    chunks.open_chunks(session, [chunk])
    chunks.settle(session, chunk.id, 2)  # a redelivered message counted twice
    with session.transaction():
        (review,) = chunks.review(session, age=dt.timedelta(hours=1), limit=10)
    assert review.queued == (left,)
    assert not review.is_stale


def test_two_sweepers_take_different_chunks(
    session: Session, database: str, app_id: UUID, account_id: UUID
) -> None:
    chunks.open_chunks(
        session,
        [_chunk(app_id, account_id, [make_email(session, app_id, status="queued")])],
    )
    age = dt.timedelta(0)
    with connect(database) as other, session.transaction(), other.transaction():
        assert len(chunks.review(session, age=age, limit=10)) == 1
        assert chunks.review(other, age=age, limit=10) == []


def test_in_flight_is_what_the_stages_have_not_finished(
    session: Session, app_id: UUID, account_id: UUID
) -> None:
    chunk = _chunk(app_id, account_id, [new_id() for _ in range(5)])
    chunks.open_chunks(session, [chunk])
    chunks.settle(session, chunk.id, 2)
    assert chunks.in_flight(session) == (3, {account_id: 3})


def _chunk(app_id: UUID, account_id: UUID, ids: list[UUID]) -> Chunk:
    return Chunk(
        id=new_id(),
        app_id=app_id,
        account_id=account_id,
        lane="normal",
        payload={"email_ids": [str(i) for i in ids], "lead_ids": [None for _ in ids]},
        size=len(ids),
    )


def _outcome(email_id: UUID, **fields: object) -> Outcome:
    given: dict[str, object] = {
        "fence": 1,
        "target": State.SENT,
        "code": 250,
        "reason": None,
        "due_at": None,
        "event_id": new_ids(1, utc_now())[0],
        "data": {"code": 250},
    }
    return Outcome(email_id=email_id, **{**given, **fields})  # type: ignore[arg-type]


def _row(session: Session, email_id: UUID) -> tuple[str, int]:
    query = "SELECT status, attempt FROM emails WHERE id = %s"
    ((status, attempt),) = session.execute(query, (email_id,)).fetchall()
    return status, attempt


def _kinds(session: Session) -> dict[str, int]:
    rows = session.execute("SELECT kind, sum(n)::int FROM email_stat_deltas GROUP BY 1").fetchall()
    return {row[0]: row[1] for row in rows}
