"""Mails whose reply was never seen: the queue's policy, a person's decision, late evidence."""

import re
from uuid import UUID

import pytest

from app.clock import utc_now
from app.ids import new_ids
from app.lifecycle import attempts, events, transitions, unknowns
from app.lifecycle.attempts import Outcome
from app.lifecycle.states import State
from app.lifecycle.unknowns import Decision, Selection
from tests.factories import make_account, make_app, make_campaign, make_email, make_queue


@pytest.fixture
def app_id(session):
    return make_app(session).id


def lose(session, app_id, policy, **fields):
    """A mail that becomes unknown in a queue with that policy; returns its id."""
    queue = make_queue(session, app_id, on_unknown=policy)
    email_id = make_email(session, app_id, status="sending", fence=1, queue_id=queue.id, **fields)
    evidence = {"stage": "dot", "connection": "c1", "dialogue": [[3, "354 go on"]]}
    attempts.record(session, [outcome(email_id, State.UNKNOWN, evidence)], None)
    return email_id


def outcome(email_id, target, data=None):
    return Outcome(
        email_id=email_id,
        fence=1,
        target=target,
        code=250 if target is State.SENT else 0,
        reason=None,
        due_at=None,
        event_id=new_ids(1, utc_now())[0],
        data=data or {},
    )


def state_of(session, email_id):
    query = "SELECT status, reason FROM emails WHERE id = %s"
    return session.execute(query, (email_id,)).fetchone()


def counts(session):
    query = "SELECT kind, sum(n)::int FROM email_stat_deltas GROUP BY 1 HAVING sum(n) <> 0"
    return dict(session.execute(query).fetchall())


def test_hold_keeps_the_mail_unknown(session, app_id) -> None:
    email_id = lose(session, app_id, "hold")
    assert state_of(session, email_id)[0] == "unknown"
    assert counts(session) == {"unknown": 1}


def test_resend_schedules_it_again_and_says_so(session, app_id) -> None:
    email_id = lose(session, app_id, "resend")
    status, reason = state_of(session, email_id)
    assert status == "scheduled"
    assert reason == "resent: the server's reply was never seen (the queue's policy)"
    told = {event.type: event.data for event in events.timeline(session, email_id)}
    assert told["decision"] == {"decision": "resend", "by": "the queue's policy"}
    assert told["attempt"]["stage"] == "dot"
    assert counts(session) == {}


def test_assume_sent_counts_it_as_sent_with_its_reason(session, app_id) -> None:
    email_id = lose(session, app_id, "assume_sent")
    status, reason = state_of(session, email_id)
    assert (status, reason.split(":")[0]) == ("sent", "assumed sent")
    assert counts(session) == {"sent": 1}


def test_an_answer_that_comes_late_keeps_a_mail_from_being_resent(session, app_id) -> None:
    email_id = lose(session, app_id, "resend")
    attempts.record(session, [outcome(email_id, State.SENT)], None)
    assert state_of(session, email_id)[0] == "sent"
    assert counts(session) == {"sent": 1}


def test_a_late_answer_to_an_older_claim_changes_nothing(session, app_id) -> None:
    email_id = lose(session, app_id, "resend")
    transitions.release(session, [email_id])
    attempts.claim(session, [email_id], "journal/1")
    attempts.record(session, [outcome(email_id, State.SENT)], None)
    assert state_of(session, email_id)[0] == "sending"


def test_a_decision_is_taken_once(session, app_id) -> None:
    email_id = lose(session, app_id, "hold")
    assert unknowns.decide(session, [email_id], Decision.RESEND, "cli") == [email_id]
    assert unknowns.decide(session, [email_id], Decision.ASSUME_SENT, "cli") == []


def test_held_mails_are_found_by_campaign_connection_and_id(session, app_id) -> None:
    campaign_id = make_campaign(session, app_id)
    mine = lose(session, app_id, "hold", campaign_id=campaign_id)
    other = lose(session, app_id, "hold")
    foreign = make_app(session).id
    lose(session, foreign, "hold")

    def found(**fields):
        selection = Selection(app_id=app_id, **fields)
        return [one.email_id for one in unknowns.find(session, selection, limit=10)]

    assert found() == [mine, other]
    assert found(campaign_id=campaign_id) == [mine]
    assert found(email_id=other) == [other]
    assert found(connection="c1") == [mine, other]
    assert found(connection="c2") == []


def test_evidence_is_shown_with_the_mail(session, app_id) -> None:
    lose(session, app_id, "hold")
    (one,) = unknowns.find(session, Selection(app_id=app_id), limit=1)
    assert one.evidence["dialogue"] == [[3, "354 go on"]]


def test_claim_and_record_of_an_unknown_follow_its_policy_too(session, app_id) -> None:
    queue = make_queue(session, app_id, on_unknown="assume_sent")
    lost = make_email(session, app_id, status="sending", fence=1, queue_id=queue.id)
    following = make_email(session, app_id, status="queued")
    gone = [outcome(lost, State.UNKNOWN)]
    rows = attempts.record_and_claim(session, gone, None, [following], "journal/1")
    assert [row[0] for row in rows] == [following]
    assert state_of(session, lost)[0] == "sent"


def test_starts_are_forgotten_when_a_worker_lives_to_tell(session, app_id) -> None:
    email_id = make_email(session, app_id, status="sending", fence=1, starts=2)
    attempts.record(session, [outcome(email_id, State.SENT)], None)
    assert session.execute("SELECT starts FROM emails").fetchone() == (0,)


def test_failed_mails_start_again_only_when_a_person_says_so(session, app_id) -> None:
    account_id = make_account(session, app_id).id
    failed = make_email(session, app_id, status="failed", attempt=5, account_id=account_id)
    sent = make_email(session, app_id, status="sent", account_id=account_id)
    assert transitions.revive(session, [failed, sent], "retried by cli") == 1
    assert state_of(session, failed) == ("scheduled", "retried by cli")
    assert state_of(session, sent)[0] == "sent"
    assert counts(session) == {"failed": -1}


def test_unknown_mails_are_found_among_many_without_reading_them(session, app_id) -> None:
    lost = [lose(session, app_id, "hold")]
    session.execute(MANY_SENT, {"app": app_id, "like": lost[0], "n": MANY})
    session.execute("ANALYZE emails, email_events")
    binds = dict.fromkeys(("campaign", "email", "connection"))
    binds |= {"app": app_id, "after": UUID(int=0), "limit": 100}
    explain = f"EXPLAIN (ANALYZE, COSTS off, TIMING off) {unknowns._FIND}"
    plan = [line for (line,) in session.execute(explain, binds)]
    assert not [line for line in plan if "Seq Scan" in line], plan
    assert any("email_events_" in line and "Index" in line for line in plan), plan
    assert not [line for line in plan if int(ROWS.search(line + " rows=0 ")[1]) > 10], plan
    found = unknowns.find(session, Selection(app_id=app_id), limit=100)
    assert [one.email_id for one in found] == lost


MANY = 200_000
ROWS = re.compile(r"rows=(\d+)")
MANY_SENT = """
WITH copies AS (
  INSERT INTO emails (id, app_id, queue_id, account_id, template_version_id, to_email, to_domain,
    to_hash, variables, status, created_at)
  SELECT overlay(id::text PLACING lpad(to_hex(n), 12, '0') FROM 25)::uuid, app_id, queue_id,
    account_id, template_version_id, to_email, to_domain, to_hash, variables, 'sent', created_at
  FROM emails CROSS JOIN generate_series(1, %(n)s) n WHERE id = %(like)s
  RETURNING id, app_id)
INSERT INTO email_events (email_id, id, app_id, type, data)
SELECT id, id, app_id, 'attempt', '{"verdict": "accepted"}' FROM copies"""
