"""What kept mail back is counted by gate, with the move itself, and can be asked afterwards."""

import datetime as dt

import pytest

from app.analytics import rollups, waits
from app.analytics.series import Span
from app.clock import utc_now
from app.lifecycle import transitions
from app.lifecycle.waits import kind_of
from tests.factories import make_app, make_email

HOUR = dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("reason", "gate"),
    [
        ("limit account_hour", "account_hour"),
        ("limit domain", "domain"),
        ("the account is held: 0.40% complained (4 of 1,000 mails in 24 h)", "reputation"),
        ("the app is held: 0.40% complained (4 of 1,000 mails in 24 h)", "reputation"),
        ("campaign paused", "campaign"),
        ("outside the sending window", "window"),
        ("sending is quarantined: mailqueue epoch show", "restore"),
        ("the account, its queue or its app is paused", "pause"),
        ("the SMTP server is slow; other mail goes first", "slow_server"),
        ("SMTP server main failed: connect: refused", "breaker"),
        ("breaker of SMTP server main is open: connect: refused", "breaker"),
        ("451 try again", "other"),
    ],
)
def test_a_reason_names_its_gate(reason, gate):
    assert kind_of(reason) == f"held.{gate}.1"


def held(session, app_id):
    span = Span(since=utc_now() - HOUR, until=utc_now() + HOUR)
    return {(one.gate, one.rules, one.times) for one in waits.waits(session, app_id, span)}


def test_hold_backs_are_counted_once_for_each_mail_that_moved(session):
    app_id = make_app(session).id
    queued = [make_email(session, app_id, status="queued") for _ in range(3)]
    sent = make_email(session, app_id, status="sent")
    for _ in range(2):  # the second time they are scheduled already
        transitions.hold_back(
            session, [*queued, sent], due_at=utc_now() + HOUR, reason="limit account_day"
        )
    assert held(session, app_id) == {("account_day", 1, 3)}
    later = utc_now() + 2 * HOUR
    moves = [(queued[0], later, None, "limit queue"), (queued[1], later, None, "limit domain")]
    assert transitions.reschedule(session, [*moves, (sent, later, None, "limit queue")]) == 2
    rollups.fold(session)
    expected = {("account_day", 1, 3), ("queue", 1, 1), ("domain", 1, 1)}
    assert held(session, app_id) == expected
    assert held(session, make_app(session).id) == set()
