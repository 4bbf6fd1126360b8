"""Why a mail goes, waits or went."""

import datetime as dt
from uuid import UUID, uuid4

import pytest

from app.clock import utc_now
from app.errors import NotFound
from app.ids import new_id
from app.lifecycle import lookup
from app.lifecycle.events import TimelineEvent, append
from app.lifecycle.explain import explain
from app.lifecycle.gates import Opening
from app.policy import suppression
from app.policy.suppression import Reason
from app.privacy import address_hash
from app.tenancy import email_accounts
from app.tenancy.email_accounts import Limits
from tests.factories import (
    AUTHOR,
    PEPPER,
    insert,
    make_account,
    make_app,
    make_campaign,
    make_email,
    make_queue,
    make_step,
)

NOW = utc_now()
HOUR = dt.timedelta(hours=1)


def free(_facts):
    return Opening(may_go=True, value="not limited")


def full(_facts):
    return Opening(may_go=False, value="2 an hour", binding="the account", next_at=NOW + HOUR)


def away(_facts):
    return None


def told(session, email_id, ask=free):
    return explain(session, email_id, ask_limits=ask, now=utc_now())


def verdicts(found):
    return {gate.name: str(gate.verdict) for gate in found.gates}


def waiting(found):
    return {name for name, verdict in verdicts(found).items() if verdict in ("wait", "stop")}


@pytest.fixture
def mail(scratch):
    """Makes a mail of a campaign with two steps in an app of its own."""

    def make(**fields):
        app_id = make_app(scratch).id
        account = make_account(scratch, app_id)
        campaign_id = make_campaign(scratch, app_id, account_id=account.id)
        step_id = make_step(scratch, campaign_id)
        given = {"campaign_id": campaign_id, "step_id": step_id, "account_id": account.id}
        return make_email(scratch, app_id, **given | fields)

    return make


def test_the_gates_are_asked_in_the_order_of_the_pipeline(scratch, mail):
    found = told(scratch, mail())
    assert [gate.name for gate in found.gates] == [
        "restore",
        "app",
        "campaign",
        "stage",
        "queue",
        "window",
        "account",
        "limits",
        "reputation",
        "breaker",
        "suppression",
        "expiry",
        "attempts",
        "lease",
    ]
    assert set(verdicts(found).values()) == {"pass", "unused"}
    assert (found.sentence, found.next_at) == ("Scheduled; every gate is open.", None)


@pytest.mark.parametrize(
    ("gate", "change"),
    [
        ("app", "UPDATE apps SET status = 'suspended' WHERE id = %(app)s"),
        ("campaign", "UPDATE campaigns SET status = 'paused' WHERE app_id = %(app)s"),
        ("queue", "UPDATE queues SET status = 'paused' WHERE app_id = %(app)s"),
        ("account", "UPDATE email_accounts SET status = 'paused' WHERE app_id = %(app)s"),
    ],
)
def test_what_is_paused_is_named(scratch, mail, gate, change):
    email_id = mail()
    app_id = told(scratch, email_id).facts["app_id"]
    scratch.execute(change, {"app": app_id})
    found = told(scratch, email_id)
    assert waiting(found) == {gate}
    assert found.sentence == f"Scheduled; it waits for: {gate}."


def test_a_hold_and_a_slower_pace_are_named_with_their_figures(scratch, mail):
    email_id = mail()
    facts = told(scratch, email_id).facts
    slowed = {"sender_id": facts["app_id"], "app_id": facts["app_id"], "level": "slowed"}
    insert(
        scratch,
        "app_reputation",
        slowed | {"rule": "bounces.slow-50", "reason": "6.00% bounced", "per_hour": 600},
    )
    found = told(scratch, email_id)
    assert waiting(found) == set()
    assert (found.facts["app_per_minute"], found.facts["hourly_limit"]) == (10, None)
    held = {"sender_id": facts["account_id"], "app_id": facts["app_id"], "level": "held"}
    insert(
        scratch, "app_reputation", held | {"rule": "complaints.hold", "reason": "0.40% complained"}
    )
    found = told(scratch, email_id)
    assert waiting(found) == {"reputation"}
    (gate,) = [gate for gate in found.gates if gate.name == "reputation"]
    assert gate.value.endswith(f"{facts['address']} is held: 0.40% complained")
    assert "is slowed to 600 mails an hour: 6.00% bounced; " in gate.value


def test_a_full_limit_says_when_it_opens(scratch, mail):
    found = told(scratch, mail(), full)
    assert waiting(found) == {"limits"}
    assert found.next_at == NOW + HOUR


def test_without_redis_the_limits_wait_and_nobody_knows_until_when(scratch, mail):
    found = told(scratch, mail(), away)
    assert (waiting(found), found.next_at) == ({"limits"}, None)


def test_an_open_breaker_says_why_and_when_it_probes(scratch, mail):
    email_id = mail()
    scratch.execute(
        "INSERT INTO smtp_breakers (smtp_config_id, app_id, phase, failures, probe_at, reason) "
        "SELECT s.id, s.app_id, 'open', 5, %s, 'connection refused' FROM smtp_configs s "
        "JOIN email_accounts a ON a.smtp_config_id = s.id JOIN emails e ON e.account_id = a.id "
        "WHERE e.id = %s",
        (NOW + HOUR, email_id),
    )
    found = told(scratch, email_id)
    assert waiting(found) == {"breaker"}
    assert found.next_at == NOW + HOUR
    (gate,) = (gate for gate in found.gates if gate.name == "breaker")
    assert "connection refused" in gate.value


def test_who_set_a_limit_is_named(scratch, mail):
    email_id = mail()
    facts = told(scratch, email_id).facts
    account = email_accounts.get(scratch, facts["app_id"], facts["account_id"])
    email_accounts.update_limits(scratch, account, Limits(hourly_limit=7), AUTHOR)
    (gate,) = [gate for gate in told(scratch, email_id).gates if gate.name == "limits"]
    assert "test, email_account.updated" in (gate.set_by or "")


def test_a_mail_outside_its_window_goes_when_it_opens(scratch, mail):
    opens = NOW + 2 * HOUR
    found = told(scratch, mail(due_at=opens, window_closes_at=opens + HOUR))
    assert "window" in waiting(found)
    assert found.next_at == opens


def test_a_missed_window_is_said(scratch, mail):
    found = told(scratch, mail(window_closes_at=NOW - HOUR))
    (gate,) = [gate for gate in found.gates if gate.name == "window"]
    assert gate.value.endswith("missed, it goes in the next")


def test_a_deferred_mail_waits_for_its_next_attempt(scratch, mail):
    again = NOW + HOUR / 2
    found = told(scratch, mail(attempt=2, due_at=again, reason="rcpt: 451 greylisted"))
    (gate,) = [gate for gate in found.gates if gate.name == "attempts"]
    assert gate.value == "2 of 5; rcpt: 451 greylisted"
    assert (waiting(found), found.next_at) == ({"attempts"}, again)


@pytest.mark.parametrize("gate", ["suppression", "expiry", "campaign"])
def test_a_mail_that_will_never_go_is_said(scratch, mail, gate):
    email_id = mail(expires_at=NOW - HOUR) if gate == "expiry" else mail()
    facts = told(scratch, email_id).facts
    if gate == "suppression":
        hashed = bytes(facts["to_hash"])
        suppression.add(scratch, facts["app_id"], hashed, email=None, reason=Reason.COMPLAINT)
    if gate == "campaign":
        scratch.execute(
            "UPDATE campaigns SET status = 'cancelled' WHERE app_id = %s", (facts["app_id"],)
        )
    found = told(scratch, email_id, full)
    assert verdicts(found)[gate] == "stop"
    assert found.next_at is None
    assert "will not be sent" in found.sentence


def test_a_claimed_mail_shows_who_holds_it(scratch, mail):
    until = NOW + HOUR
    email_id = mail(status="sending", lease_until=until, claimed_by="host-1/7", queued_at=NOW)
    found = told(scratch, email_id)
    (gate,) = [gate for gate in found.gates if gate.name == "lease"]
    assert "host-1/7" in gate.value
    assert gate.next_at == until


def test_a_released_mail_is_on_its_way(scratch, mail):
    found = told(scratch, mail(status="queued", queued_at=NOW))
    assert (waiting(found), found.sentence) == (set(), "Queued; every gate is open.")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("sent", "Accepted by the server"),
        ("failed", "Failed: 550 no"),
        ("unknown", "It is unknown whether it was sent: 550 no. The queue's policy is hold."),
        ("suppressed", "Suppressed: 550 no"),
        ("bounced", "Bounced: 550 no"),
    ],
)
def test_a_mail_with_an_end_is_told_from_its_row_and_timeline(scratch, mail, state, said):
    email_id = mail(status=state, reason="550 no", sent_at=NOW, attempt=1)
    app_id = told(scratch, email_id).facts["app_id"]
    line = TimelineEvent(
        email_id=email_id, event_id=new_id(), app_id=app_id, type="attempt", data={}, at=NOW
    )
    append(scratch, [line])
    found = told(scratch, email_id, full)
    assert found.sentence.startswith(said)
    assert (found.gates, found.next_at) == ((), None)
    assert [event.type for event in found.timeline] == ["attempt"]


def test_a_mail_without_campaign_uses_that_gate_not(scratch):
    app_id = make_app(scratch).id
    email_id = make_email(scratch, app_id, queue_id=make_queue(scratch, app_id).id)
    assert verdicts(told(scratch, email_id))["campaign"] == "unused"


def test_a_parked_mail_waits_for_its_campaign(scratch, mail):
    email_id = mail()
    scratch.execute("UPDATE emails SET due_at = 'infinity' WHERE id = %s", (email_id,))
    assert waiting(told(scratch, email_id)) == {"campaign"}


def test_a_quarantined_database_is_the_first_gate(session):
    email_id = make_email(session, make_app(session).id)
    session.execute(
        "INSERT INTO send_epoch (lineage, home, quarantined_at, reason) "
        "VALUES (%s, 'x', now(), 'restored')",
        (uuid4(),),
    )
    found = told(session, email_id)
    assert (found.gates[0].value, waiting(found)) == ("restored", {"restore"})


def test_an_unknown_id_is_said(scratch):
    with pytest.raises(NotFound):
        told(scratch, UUID(int=1))


def test_mails_are_found_by_recipient_and_campaign(scratch, mail):
    email_id = mail(to_email="Ana@Example.com")
    campaign_id = told(scratch, email_id).facts["campaign_id"]
    hashed = address_hash("ana@example.com", PEPPER)
    assert lookup.of_recipient(scratch, campaign_id, hashed) == [email_id]
    assert lookup.of_recipient(scratch, campaign_id, b"nobody") == []
