"""One spine, real parts: release, assemble, send, record; and what stops on the way."""

import datetime as dt
import itertools
import threading
from collections import Counter

import pytest

from app.clock import utc_now
from app.db.session import connect
from app.ids import new_id
from app.inbox import Inbox
from app.lifecycle import events, ledger
from app.policy.suppression import Reason, add
from app.privacy import address_hash
from tests.factories import (
    PEPPER,
    insert,
    make_campaign,
    make_email,
    make_lead,
    make_step,
    make_template_version,
)


@pytest.fixture
def statuses(session):
    def read():
        rows = session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall()
        return dict(rows)

    return read


def test_one_mail_walks_through_all_stages(
    session, make_sender, run_pass, fleet, inbox, until, statuses
) -> None:
    sender = make_sender()
    email_id = make_email(session, sender.app_id, to_email="ana@example.com", **sender.fields)
    fleet.start()
    summary = run_pass()
    until(lambda: statuses() == {"sent": 1})
    assert (summary.released, summary.chunks) == (1, 1)
    (mail,) = inbox.messages()
    assert (mail.rcpt_to, mail.subject) == (("ana@example.com",), "Hello Ana")
    assert mail.message_id.startswith(f"<{email_id.hex}@")
    (attempt,) = events.timeline(session, email_id)
    assert (attempt.type, attempt.data["code"], attempt.data["verdict"]) == (
        "attempt",
        250,
        "accepted",
    )


def test_a_thousand_mails_arrive_once_each(
    session, make_sender, run_pass, fleet, inbox, until, statuses
) -> None:
    sender = make_sender()
    for number in range(1_000):
        to = f"r{number}@example{number % 7}.com"
        make_email(session, sender.app_id, to_email=to, **sender.fields)
    fleet.start()
    run_pass()
    until(lambda: statuses() == {"sent": 1_000}, 60)
    assert set(Counter(mail.rcpt_to for mail in inbox.messages()).values()) == {1}
    assert len(inbox.messages()) == 1_000


def test_suppressed_and_unrenderable_mails_stop_with_their_reason(
    session, make_sender, run_pass, fleet, inbox, until
) -> None:
    sender = make_sender()
    app_id = sender.app_id
    hashed = address_hash("gone@example.com", PEPPER)
    add(
        session,
        app_id,
        email_hash=hashed,
        email="gone@example.com",
        reason=Reason.MANUAL,
        source=None,
    )
    gone = make_email(session, app_id, to_email="gone@example.com", **sender.fields)
    nameless = make_email(session, app_id, variables={"city": "Rome"}, **sender.fields)
    fine = make_email(session, app_id, **sender.fields)
    fleet.start()
    run_pass()
    until(lambda: _state(session, fine) == ("sent", None))
    until(lambda: _state(session, gone)[0] == "suppressed")
    assert _state(session, nameless) == ("failed", "missing variables: firstName")
    assert len(inbox.messages()) == 1


def test_refusals_fail_deferrals_wait_and_hard_bounces_suppress(
    session, make_sender, run_pass, fleet, until
) -> None:
    sender = make_sender()
    refused = make_email(session, sender.app_id, to_email="bounce+550@a.com", **sender.fields)
    deferred = make_email(session, sender.app_id, to_email="defer+451@a.com", **sender.fields)
    fleet.start()
    run_pass()
    until(lambda: _state(session, refused)[0] == "failed")
    until(lambda: _state(session, deferred)[0] == "scheduled")
    ((due_at, attempt, code),) = session.execute(
        "SELECT due_at, attempt, smtp_code FROM emails WHERE id = %s", (deferred,)
    ).fetchall()
    assert (attempt, code) == (1, 451)
    assert dt.timedelta(seconds=20) < due_at - utc_now() <= dt.timedelta(seconds=30)
    (event,) = events.timeline(session, deferred)
    assert event.data["dialogue"], "the whole dialogue of a deferral is kept"
    ((reason,),) = session.execute("SELECT reason FROM suppression_list").fetchall()
    assert reason == "hard_bounce"


def test_two_passes_at_the_same_moment_send_nothing_twice(
    session, database, make_sender, configured, fleet, inbox, until, statuses
) -> None:
    from actors import schedule  # noqa: PLC0415 - the broker reads the test's settings

    sender = make_sender()
    for _ in range(300):
        make_email(session, sender.app_id, **sender.fields)
    fleet.start()
    released = []
    gate = threading.Barrier(2)

    def one_pass() -> None:
        with connect(database) as own:
            gate.wait()
            released.append(schedule.run_pass(own, configured, reason="test").released)

    threads = [threading.Thread(target=one_pass) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(released) == 300
    until(lambda: statuses() == {"sent": 300}, 30)
    assert len(inbox.messages()) == 300


def test_kill_minus_nine_in_mid_campaign_loses_and_doubles_nothing(
    session, make_sender, run_pass, fleet, inbox, until, statuses
) -> None:
    sender = make_sender()
    ids = [make_email(session, sender.app_id, **sender.fields) for _ in range(600)]
    fleet.start()
    run_pass()
    until(lambda: len(inbox.messages()) > 50)
    fleet.kill()
    fleet.start()
    until(lambda: _after_pass(run_pass, statuses), 60)
    states = statuses()
    arrived = Counter(mail.message_id for mail in inbox.messages())
    assert set(arrived.values()) == {1}
    assert states.get("unknown", 0) <= 3 * 8  # open connections: threads times connections
    assert states["sent"] + states.get("unknown", 0) == len(ids)
    assert len(arrived) >= states["sent"]


def test_an_hourly_limit_of_one_sends_the_second_mail_an_hour_later(
    session, make_sender, run_pass, fleet, inbox, until, statuses
) -> None:
    sender = make_sender(hourly_limit=1)
    for _ in range(2):
        make_email(session, sender.app_id, **sender.fields)
    fleet.start()
    run_pass()
    until(lambda: statuses() == {"sent": 1, "scheduled": 1})
    for _ in range(3):
        run_pass()
    assert statuses() == {"sent": 1, "scheduled": 1}
    assert len(inbox.messages()) == 1


def test_gaps_between_mails_are_never_shorter_than_the_minimum(
    session, make_sender, run_pass, fleet, inbox, until, statuses
) -> None:
    sender = make_sender(min_gap_ms=400)
    for _ in range(6):
        make_email(session, sender.app_id, **sender.fields)
    fleet.start()
    until(lambda: (run_pass(), statuses() == {"sent": 6})[1], 30)
    times = [mail.at_ms for mail in inbox.messages()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 400, gaps


def test_an_unreachable_server_consumes_no_attempt(
    session, make_sender, run_pass, fleet, until
) -> None:
    sender = make_sender()
    email_id = make_email(session, sender.app_id, **sender.fields)
    session.execute("UPDATE smtp_configs SET port = 1")  # nothing listens there
    fleet.start()
    run_pass()
    until(lambda: (_state(session, email_id)[1] or "").startswith("connect"))
    ((status, attempt),) = session.execute("SELECT status, attempt FROM emails").fetchall()
    assert (status, attempt) == ("scheduled", 0)


def test_mail_outside_its_window_waits_for_the_next(session, make_sender, run_pass) -> None:
    sender = make_sender()
    now = utc_now()
    opens = (now + dt.timedelta(hours=2)).time().replace(microsecond=0)
    closes = (now + dt.timedelta(hours=3)).time().replace(microsecond=0)
    campaign_id = make_campaign(
        session,
        sender.app_id,
        account_id=sender.fields["account_id"],
        window_start=opens,
        window_end=closes,
    )
    email_id = make_email(
        session,
        sender.app_id,
        campaign_id=campaign_id,
        window_closes_at=now - dt.timedelta(minutes=1),
        **sender.fields,
    )
    assert run_pass().postponed == 1
    ((due_at, status),) = session.execute(
        "SELECT due_at, status FROM emails WHERE id = %s", (email_id,)
    ).fetchall()
    assert status == "scheduled"
    assert due_at.time() == opens


def test_expired_mail_is_not_sent(session, make_sender, run_pass) -> None:
    sender = make_sender()
    past = utc_now() - dt.timedelta(seconds=1)
    email_id = make_email(session, sender.app_id, expires_at=past, **sender.fields)
    assert run_pass().expired == 1
    assert _state(session, email_id)[0] == "expired"


def test_a_sequence_is_planned_sent_and_balanced(
    session, make_sender, run_pass, fleet, inbox, until
) -> None:
    sender = make_sender()
    campaign_id = make_campaign(session, sender.app_id, account_id=sender.fields["account_id"])
    for position, subject in enumerate(("First {{firstName}}", "Second {{firstName}}"), 1):
        version = make_template_version(session, sender.app_id, subject=subject)
        make_step(session, campaign_id, position=position, template_version_id=version)
    for number in range(5):
        lead = make_lead(session, sender.app_id, f"lead{number}@example.com")
        _enrol(session, sender, campaign_id, lead)
    fleet.start()

    def is_done() -> bool:
        session.execute("UPDATE enrolments SET due_at = now() WHERE due_at > now()")
        run_pass()
        books = ledger.of_campaign(session, campaign_id)
        return (books.planned, books.sent) == (10, 10)

    until(is_done, 30)
    assert ledger.of_campaign(session, campaign_id).off_by == 0
    subjects = Counter((mail.rcpt_to, mail.subject) for mail in inbox.messages())
    assert len(subjects) == 10
    assert set(subjects.values()) == {1}


def _enrol(session, sender, campaign_id, lead_id) -> None:
    row = {
        "id": new_id(),
        "app_id": sender.app_id,
        "campaign_id": campaign_id,
        "lead_id": lead_id,
        "account_id": sender.fields["account_id"],
        "due_at": utc_now(),
    }
    insert(session, "enrolments", row)


def _state(session, email_id):
    query = "SELECT status, reason FROM emails WHERE id = %s"
    ((status, reason),) = session.execute(query, (email_id,)).fetchall()
    return status, reason


def _after_pass(run_pass, statuses) -> bool:
    run_pass()
    return not {"scheduled", "queued", "sending"} & statuses().keys()


def test_a_hanging_server_does_not_hold_up_another_apps_mail(
    session, make_sender, run_pass, fleet, until, tmp_path
) -> None:
    with Inbox(tmp_path / "hanging") as elsewhere:
        _hang(session, make_sender, run_pass, fleet, until, elsewhere)


def _hang(session, make_sender, run_pass, fleet, until, elsewhere) -> None:
    hanging, fine = make_sender(elsewhere.smtp_port), make_sender()
    for _ in range(4):  # more chunks than the fleet has threads
        version = make_template_version(session, hanging.app_id)
        fields = hanging.fields | {"template_version_id": version}
        for _ in range(10):
            make_email(session, hanging.app_id, to_email="hang-after-data@a.com", **fields)
    fleet.start()
    run_pass()
    until(lambda: "sending" in [_state(session, i)[0] for i in _ids(session, hanging.app_id)])
    email_id = make_email(session, fine.app_id, **fine.fields)
    run_pass()
    until(lambda: _state(session, email_id)[0] == "sent", 15)
    fleet.kill()


def _ids(session, app_id):
    rows = session.execute("SELECT id FROM emails WHERE app_id = %s", (app_id,)).fetchall()
    return [row[0] for row in rows]


def test_a_worker_without_secrets_does_not_start(fleet, monkeypatch, until) -> None:
    monkeypatch.setenv("MAILQUEUE_ADDRESS_PEPPER", "")
    fleet.start()
    until(lambda: "MAILQUEUE_ADDRESS_PEPPER is not set" in fleet.log)
