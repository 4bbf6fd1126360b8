"""Each answer changes what is sent next, once, however often its job comes."""

import datetime as dt

import pytest

from actors.inbound import sweep_inbound, work_off
from app.clock import utc_now
from app.mail.verp import AddressUse
from app.queueing.payloads import InboundPayload, TickPayload
from tests.factories import make_email
from tests.feedback.answers import complaint, report, written
from tests.feedback.conftest import TO

SPAM = report(TO, "5.7.1", said="554 5.7.1 rejected as spam")
LISTED = report(TO, "5.7.1", said="550 5.7.1 Client host blocked using Spamhaus")
FULL = report(TO, "5.2.2", said="552 5.2.2 mailbox full")


@pytest.fixture
def come_back(arrive):
    """Stores answers to an e-mail and lets them be worked off, each job twice."""

    def work(email_id, *raws, use=AddressUse.BOUNCE):
        ids = [arrive(email_id, raw, use) for raw in raws]
        for _ in range(2):
            work_off(InboundPayload(message_ids=ids))
        return ids

    return work


def test_a_hard_bounce_suppresses_and_stops_the_sequence_once(session, sequence, come_back):
    lead = sequence()
    (inbound_id,) = come_back(lead.first, report(TO))
    come_back(lead.first, report(TO))  # the same report once more: a mail of its own

    assert lead.status(lead.first) == "bounced"
    assert lead.suppressed_for == "hard_bounce"
    assert (lead.enrolment_status, lead.status(lead.second)) == ("stopped", "suppressed")
    assert lead.events(lead.first) == ["bounced"]
    assert lead.counted("bounced") == 1
    status, found = session.execute(
        "SELECT status, classification FROM inbound_messages WHERE id = %s", (inbound_id,)
    ).fetchone()
    assert (status, found["class"], found["status"]) == ("processed", "hard", "5.1.1")
    assert found["rule"]
    assert found["explanation"]


def test_a_soft_bounce_is_counted_and_only_the_fifth_suppresses(session, sequence, come_back):
    lead = sequence()
    again = [make_email(session, lead.app_id, to_email=TO, status="sent") for _ in range(4)]
    come_back(lead.first, FULL, FULL)  # one mail counts once
    for email_id in again[:3]:
        come_back(email_id, FULL)
    assert (lead.status(lead.first), lead.suppressed_for) == ("bounced", None)
    assert lead.enrolment_status == "active"

    come_back(again[3], FULL)

    assert lead.suppressed_for == "soft_bounces"
    assert lead.enrolment_status == "stopped"


def test_an_app_says_how_many_soft_bounces_are_too_many(session, sequence, come_back):
    lead = sequence()
    session.execute(
        """UPDATE apps SET settings = '{"soft_bounces": {"limit": 1, "days": 3}}' WHERE id = %s""",
        (lead.app_id,),
    )
    come_back(lead.first, FULL)

    assert lead.suppressed_for == "soft_bounces"


def test_soft_bounces_of_long_ago_do_not_count(session, sequence, come_back):
    lead = sequence()
    for _ in range(4):
        come_back(make_email(session, lead.app_id, to_email=TO, status="sent"), FULL)
    session.execute("UPDATE soft_bounces SET at = now() - interval '15 days'")

    come_back(lead.first, FULL)

    assert lead.suppressed_for is None
    assert lead.value("SELECT count(*) FROM soft_bounces") == 1


def test_a_block_slows_the_domain_and_suppresses_nobody(sequence, come_back):
    lead = sequence()
    come_back(lead.first, SPAM)

    assert (lead.status(lead.first), lead.suppressed_for) == ("bounced", None)
    assert lead.enrolment_status == "active"
    paced = "SELECT per_minute FROM domain_pacing WHERE app_id = %s AND domain = 'example.com'"
    assert lead.value(paced, lead.app_id) == 60


@pytest.mark.parametrize(("raw", "counts"), [(SPAM, 0), (LISTED, 1)])
def test_only_a_block_of_the_sender_counts_against_its_account(sequence, come_back, raw, counts):
    lead = sequence()
    come_back(lead.first, raw, raw)

    assert (lead.counted("blocked"), lead.suppressed_for) == (counts, None)


def test_a_complaint_suppresses_at_once(sequence, come_back):
    lead = sequence()
    come_back(lead.first, complaint(TO))

    assert (lead.status(lead.first), lead.suppressed_for) == ("complained", "complaint")
    assert (lead.enrolment_status, lead.counted("complained")) == ("stopped", 1)


def test_a_reply_stops_the_sequence_and_suppresses_nobody(session, sequence, come_back):
    lead = sequence()
    raw = written("Re: Hello", "Gladly!", In_Reply_To=f"<{lead.first.hex}@example.org>")
    (inbound_id,) = come_back(lead.first, raw, use=AddressUse.REPLY)

    assert (lead.enrolment_status, lead.status(lead.second)) == ("stopped", "cancelled")
    assert (lead.status(lead.first), lead.suppressed_for) == ("sent", None)
    assert lead.events(lead.first) == ["first_replied", "replied"]
    assert lead.counted("replied") == 1
    row = session.execute(
        "SELECT kind, subject, message_id_header, classification->'answers'->>0 "
        "FROM inbound_messages WHERE id = %s",
        (inbound_id,),
    ).fetchone()
    answered = f"{lead.first.hex}@example.org"
    assert row == ("reply", "Re: Hello", "<answer-1@example.com>", answered)


def test_an_automatic_reply_does_not_stop_the_sequence(sequence, come_back):
    lead = sequence()
    come_back(lead.first, written("Ticket 1", "We got it.", Auto_Submitted="auto-replied"))

    assert (lead.enrolment_status, lead.status(lead.second)) == ("active", "scheduled")
    assert lead.events(lead.first) == ["auto_replied"]


def test_out_of_office_delays_the_sequence(session, sequence, come_back):
    lead = sequence()
    session.execute("UPDATE enrolments SET due_at = now()")
    come_back(lead.first, written("Out of office", "Away", Auto_Submitted="auto-replied"))

    due_at = lead.value("SELECT due_at FROM enrolments WHERE id = %s", lead.enrolment)
    assert due_at > utc_now() + dt.timedelta(days=2)
    assert lead.enrolment_status == "active"


def test_unsubscribe_mail_suppresses_and_stops(sequence, come_back):
    lead = sequence()
    come_back(lead.first, written("unsubscribe", ""), use=AddressUse.UNSUBSCRIBE)

    assert (lead.suppressed_for, lead.enrolment_status) == ("unsubscribe", "stopped")
    assert (lead.status(lead.second), lead.counted("unsubscribed")) == ("suppressed", 1)


def test_a_report_of_success_is_delivered(sequence, come_back):
    lead = sequence()
    come_back(lead.first, report(TO, "2.0.0", "delivered", "250 ok"))

    assert (lead.status(lead.first), lead.suppressed_for) == ("delivered", None)
    assert lead.enrolment_status == "active"


@pytest.mark.parametrize(
    ("raw", "becomes"),
    [
        (report(TO), "bounced"),
        (report(TO, "2.0.0", "delivered", "250 ok"), "delivered"),
        (report(TO, "4.4.1", "delayed", "421 4.4.1 timed out"), "sent"),
        (written("Re: Hello", "Gladly!"), "sent"),
    ],
)
def test_whatever_comes_back_proves_that_an_unknown_mail_was_sent(
    sequence, come_back, raw, becomes
):
    lead = sequence(status="unknown")
    come_back(lead.first, raw)

    assert lead.status(lead.first) == becomes
    assert (lead.counted("unknown"), lead.counted("sent")) == (-1, 1)


def test_a_bounce_at_the_reply_address_suppresses_nobody(session, sequence, come_back):
    lead = sequence()
    (inbound_id,) = come_back(lead.first, report(TO), use=AddressUse.REPLY)

    assert (lead.status(lead.first), lead.suppressed_for) == ("sent", None)
    assert lead.enrolment_status == "active"
    ignored = "SELECT status FROM inbound_messages WHERE id = %s"
    assert session.execute(ignored, (inbound_id,)).fetchone() == ("ignored",)


def test_a_bounce_of_another_address_suppresses_nobody(sequence, come_back):
    lead = sequence()
    come_back(lead.first, report("somebody@else.example"))

    assert lead.suppressed_for is None


def test_an_answer_to_a_deleted_mail_is_kept_and_ignored(session, sequence, come_back):
    lead = sequence()
    session.execute("DELETE FROM emails WHERE id = %s", (lead.first,))
    (inbound_id,) = come_back(lead.first, report(TO))

    ignored = "SELECT status, app_id FROM inbound_messages WHERE id = %s"
    assert session.execute(ignored, (inbound_id,)).fetchone() == ("ignored", None)
    assert lead.suppressed_for is None


def test_a_bounce_faster_than_the_outcome_waits_for_it(session, sequence, arrive):
    lead = sequence(status="sending")
    payload = InboundPayload(message_ids=[arrive(lead.first, report(TO))])
    work_off(payload)
    assert (lead.status(lead.first), lead.suppressed_for) == ("sending", None)

    session.execute("UPDATE emails SET status = 'sent' WHERE id = %s", (lead.first,))
    work_off(payload)

    assert (lead.status(lead.first), lead.suppressed_for) == ("bounced", "hard_bounce")


def test_a_lost_job_is_published_again_later_each_time(session, sequence, arrive):
    lead = sequence()
    inbound_id = arrive(lead.first, report(TO))
    tries = "SELECT republished, status FROM inbound_messages WHERE id = %s"
    sweep_inbound(TickPayload())
    assert session.execute(tries, (inbound_id,)).fetchone() == (0, "received")

    session.execute("UPDATE inbound_messages SET touched_at = now() - interval '16 s'")
    for _ in range(2):
        sweep_inbound(TickPayload())
    assert session.execute(tries, (inbound_id,)).fetchone() == (1, "received")

    session.execute(
        "UPDATE inbound_messages SET republished = 12, touched_at = now() - interval '1 day'"
    )
    sweep_inbound(TickPayload())
    assert session.execute(tries, (inbound_id,)).fetchone() == (13, "failed")
