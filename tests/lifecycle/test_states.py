"""The state machine, every (from, to) pair, in the rules and in the statements."""

import itertools
from uuid import UUID

import pytest

from app.clock import utc_now
from app.db.session import Session
from app.ids import new_ids
from app.lifecycle import attempts, transitions
from app.lifecycle.attempts import Outcome
from app.lifecycle.states import SOURCES, State, may_move
from app.tables.emails import EMAIL_STATES
from tests.factories import make_account, make_app, make_email

PAIRS = list(itertools.product(State, State))


def test_the_table_knows_exactly_the_states() -> None:
    assert set(EMAIL_STATES) == set(State)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_final_state_is_left_only_on_evidence(source: State, target: State) -> None:
    final = {State.FAILED, State.CANCELLED, State.SUPPRESSED, State.EXPIRED}
    if source in final or source is target:
        assert not may_move(source, target)
    if may_move(source, target):
        assert source in SOURCES[target]


STATEMENTS = {
    State.QUEUED: lambda s, i: len(transitions.release(s, [i])),
    State.SENDING: lambda s, i: len(attempts.claim(s, [i], "journal/1")),
    State.CANCELLED: lambda s, i: transitions.stop(s, [(i, "test")], State.CANCELLED),
    State.SUPPRESSED: lambda s, i: transitions.stop(s, [(i, "test")], State.SUPPRESSED),
    State.EXPIRED: lambda s, i: transitions.stop(s, [(i, "test")], State.EXPIRED),
    State.FAILED: lambda s, i: transitions.stop(s, [(i, "test")], State.FAILED),
    State.SENT: lambda s, i: len(attempts.record(s, [_outcome(i, State.SENT)], None)),
    State.UNKNOWN: lambda s, i: len(attempts.record(s, [_outcome(i, State.UNKNOWN)], None)),
}


def test_no_statement_makes_a_move_the_rules_forbid(session: Session) -> None:
    app_id = make_app(session).id
    account_id = make_account(session, app_id).id
    for source, target in itertools.product(State, STATEMENTS):
        email_id = make_email(
            session, app_id, status=source, account_id=account_id, fence=1, claimed_by="journal/1"
        )
        moved = STATEMENTS[target](session, email_id)
        now_in = _status(session, email_id)
        assert now_in == (target if moved else source), (source, target)
        if moved:
            assert may_move(source, target), (source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (State.SCHEDULED, State.QUEUED),
        (State.QUEUED, State.SENDING),
        (State.SENDING, State.SENT),
        (State.SENDING, State.UNKNOWN),
        (State.UNKNOWN, State.SENT),
        (State.SCHEDULED, State.CANCELLED),
        (State.QUEUED, State.SUPPRESSED),
        (State.SCHEDULED, State.EXPIRED),
        (State.QUEUED, State.FAILED),
    ],
)
def test_the_moves_of_the_pipeline_happen(session: Session, source: State, target: State) -> None:
    email_id = make_email(session, make_app(session).id, status=source, fence=1)
    assert STATEMENTS[target](session, email_id) == 1
    assert _status(session, email_id) == target


def test_a_scheduled_email_has_a_time_and_no_other_has(session: Session) -> None:
    app_id = make_app(session).id
    email_id = make_email(session, app_id)
    with pytest.raises(Exception, match="due_while_scheduled"):
        session.execute("UPDATE emails SET due_at = NULL WHERE id = %s", (email_id,))
    with pytest.raises(Exception, match="due_while_scheduled"):
        session.execute("UPDATE emails SET status = 'queued' WHERE id = %s", (email_id,))


def _outcome(email_id: UUID, target: State) -> Outcome:
    return Outcome(
        email_id=email_id,
        fence=1,
        target=target,
        code=250,
        reason=None,
        due_at=None,
        event_id=new_ids(1, utc_now())[0],
        data={"code": 250},
    )


def _status(session: Session, email_id: UUID) -> State:
    ((status,),) = session.execute(
        "SELECT status FROM emails WHERE id = %s", (email_id,)
    ).fetchall()
    return State(status)
