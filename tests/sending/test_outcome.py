"""What replies mean: pure rules, one behaviour each."""

import datetime as dt

import pytest

from app.ids import new_id
from app.lifecycle.states import State
from app.sending.outcome import (
    Claimed,
    block_of,
    decide,
    is_exhausted,
    is_hard_bounce,
    poisoned,
    server_failure,
)
from app.sending.route import RetryPolicy
from app.smtp.connection import Stage
from app.smtp.transaction import Attempt, Verdict

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
POLICY = RetryPolicy(delays_s=(30, 120), max_age_s=None)


def held(attempt: int = 1, age: dt.timedelta = dt.timedelta()) -> Claimed:
    return Claimed(
        email_id=new_id(),
        fence=1,
        attempt=attempt,
        created_at=NOW - age,
        first_claimed_at=NOW - age,
    )


def reply(verdict: Verdict, code: int, text: str, stage: Stage = Stage.DOT) -> Attempt:
    return Attempt(verdict=verdict, code=code, text=text, stage=stage)


def outcome(attempt: Attempt, claimed: Claimed, policy: RetryPolicy = POLICY):
    return decide(claimed, attempt, policy, now=NOW, event_id=new_id().hex)


DEFERRED = reply(Verdict.DEFERRED, 451, "4.7.1 later", Stage.RCPT)


def test_an_accepted_mail_is_sent() -> None:
    done = outcome(reply(Verdict.ACCEPTED, 250, "2.0.0 queued"), held())
    assert (done.target, done.reason, done.kind) == (State.SENT, None, "sent")


def test_a_deferral_waits_the_delay_of_its_attempt() -> None:
    first, second = outcome(DEFERRED, held(1)), outcome(DEFERRED, held(2))
    assert (first.target, first.due_at) == (State.SCHEDULED, NOW + dt.timedelta(seconds=30))
    assert (second.target, second.due_at) == (State.SCHEDULED, NOW + dt.timedelta(seconds=120))
    assert first.kind == "deferred"


def test_exhausted_attempts_fail_with_the_last_reply() -> None:
    done = outcome(DEFERRED, held(3))
    assert done.target is State.FAILED
    assert done.reason == "attempts exhausted; last reply: 451 4.7.1 later"


def test_a_deferral_age_repeats_the_last_delay_until_then() -> None:
    policy = RetryPolicy(delays_s=(30,), max_age_s=3_600)
    young = outcome(DEFERRED, held(9, dt.timedelta(minutes=30)), policy)
    old = outcome(DEFERRED, held(9, dt.timedelta(minutes=60)), policy)
    assert young.due_at == NOW + dt.timedelta(seconds=30)
    assert old.target is State.FAILED


def test_a_refusal_fails_once_and_for_all() -> None:
    assert outcome(reply(Verdict.REFUSED, 550, "5.7.1 no"), held()).target is State.FAILED


def test_a_reply_never_seen_is_unknown_and_keeps_its_evidence() -> None:
    done = outcome(reply(Verdict.UNKNOWN, 0, "connection lost after the final dot"), held())
    assert done.target is State.UNKNOWN
    assert done.data is not None
    assert done.data["stage"] == "dot"


def test_an_untried_mail_gives_its_attempt_back() -> None:
    done = outcome(reply(Verdict.UNTRIED, 0, "connection refused", Stage.CONNECT), held())
    assert (done.target, done.is_attempt, done.data) == (State.SCHEDULED, False, None)
    assert done.due_at == NOW + dt.timedelta(seconds=2)


@pytest.mark.parametrize("status", ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"])
def test_an_address_that_does_not_exist_is_a_hard_bounce(status: str) -> None:
    assert is_hard_bounce(reply(Verdict.REFUSED, 550, f"{status} gone", Stage.RCPT))


@pytest.mark.parametrize(
    "attempt",
    [
        reply(Verdict.REFUSED, 550, "5.7.1 spam", Stage.RCPT),
        reply(Verdict.REFUSED, 552, "5.2.2 mailbox full", Stage.RCPT),
        reply(Verdict.REFUSED, 550, "5.2.1 mailbox busy", Stage.RCPT),
        reply(Verdict.DEFERRED, 450, "4.1.1 unknown", Stage.RCPT),
        reply(Verdict.REFUSED, 550, "5.1.1 your address", Stage.MAIL),
        reply(Verdict.REFUSED, 550, "15.1.1 is no status", Stage.RCPT),
    ],
)
def test_policy_full_boxes_and_our_own_faults_suppress_nobody(attempt: Attempt) -> None:
    assert not is_hard_bounce(attempt)


@pytest.mark.parametrize(
    ("attempt", "sign"),
    [
        (reply(Verdict.REFUSED, 550, "5.7.1 blocked using Spamhaus", Stage.MAIL), "sender.listed"),
        (reply(Verdict.REFUSED, 554, "5.7.1 message refused by policy"), ""),
        (reply(Verdict.REFUSED, 550, "5.1.1 no such user", Stage.RCPT), None),
        (reply(Verdict.REFUSED, 552, "5.2.2 mailbox full", Stage.RCPT), None),
        (reply(Verdict.DEFERRED, 451, "4.7.1 blocked using Spamhaus"), None),
        (reply(Verdict.REFUSED, 0, "5.7.1 policy", Stage.LOCAL), None),
    ],
)
def test_a_refusal_for_the_sender_is_told_from_one_for_the_mail(attempt, sign) -> None:
    assert block_of(attempt, "ana@example.com") == sign


def test_a_disabled_mailbox_is_a_hard_bounce() -> None:
    assert is_hard_bounce(reply(Verdict.REFUSED, 550, "5.2.1 account disabled", Stage.RCPT))


def hinting(text: str) -> Attempt:
    return reply(Verdict.DEFERRED, 451, text, Stage.RCPT)


def test_a_wait_the_server_names_replaces_the_delay() -> None:
    done = outcome(hinting("4.7.1 try again in 300 seconds"), held(1))
    assert done.due_at == NOW + dt.timedelta(seconds=300)


def test_a_named_wait_is_bounded() -> None:
    soon, never = hinting("retry in 0 seconds"), hinting("retry in 900 hours")
    assert outcome(soon, held(1)).due_at == NOW + dt.timedelta(seconds=5)
    assert outcome(never, held(1)).due_at == NOW + dt.timedelta(hours=6)


def test_a_named_wait_gives_no_more_attempts() -> None:
    assert outcome(hinting("try again in 60 seconds"), held(3)).target is State.FAILED


def test_a_mail_that_ended_its_workers_fails_for_it() -> None:
    claimed = held()._replace(starts=5)
    assert claimed.is_poison
    attempt = poisoned(claimed)
    done = outcome(attempt, claimed)
    assert done.target is State.FAILED
    assert done.reason == "local: poison message: 4 workers died while they held this mail"
    assert is_exhausted(attempt, done)


def test_only_a_submit_without_any_answer_is_a_server_failure() -> None:
    refused = reply(Verdict.REFUSED, 550, "5.1.1 no", Stage.RCPT)
    away = reply(Verdict.UNTRIED, 0, "connection refused", Stage.CONNECT)
    closing = reply(Verdict.DEFERRED, 421, "4.3.2 shutting down", Stage.DOT)
    lost = reply(Verdict.UNKNOWN, 0, "connection lost")
    ours = reply(Verdict.UNTRIED, 0, "the journal cannot be written", Stage.DATA)
    assert server_failure([away]) == "connect: connection refused"
    assert server_failure([closing]) == "dot: 421 4.3.2 shutting down"
    assert server_failure([lost]) is not None
    assert server_failure([refused, away]) is None
    assert server_failure([refused]) is None
    assert server_failure([ours]) is None
