"""What a provider tells changes what is sent next, once, however often it tells it."""

import orjson
import pytest

from actors.inbound import work_off
from app.feedback import mails, messages
from app.feedback.messages import ToldEvent
from app.feedback.providers.event import Provider
from app.feedback.providers.reading import read
from app.queueing.payloads import InboundPayload
from tests.factories import make_app
from tests.feedback.answers import report
from tests.feedback.conftest import TO
from tests.feedback.events import postmark, sendgrid, ses_bounce


@pytest.fixture
def tell(session, coded):
    """Stores events in an app as its hook does, lets them be worked off twice; returns new ids."""

    def work(app_id, provider, *events):
        told = []
        for event in events:
            found = read(provider, event)
            own = mails.own(session, app_id, found.email_ids(coded))
            told.append(
                ToldEvent(
                    key=found.key,
                    email_id=next(iter(own), None),
                    recipient=found.verdicts[0].address,
                    raw=orjson.dumps(event),
                )
            )
        ids = messages.store_events(session, app_id, provider, told)
        for _ in range(2):
            for one in ids:
                work_off(InboundPayload(message_ids=[one]))
        return ids

    return work


def row(session, inbound_id):
    return session.execute(
        "SELECT status, kind, provider, classification FROM inbound_messages WHERE id = %s",
        (inbound_id,),
    ).fetchone()


def test_a_hard_bounce_has_its_effects_once(session, sequence, tell):
    lead = sequence()
    event = ses_bounce(lead.first.hex, TO, said="smtp; 550 5.1.1 user unknown")
    (inbound_id,) = tell(lead.app_id, Provider.SES, event)
    assert tell(lead.app_id, Provider.SES, event, event) == []

    assert (lead.status(lead.first), lead.suppressed_for) == ("bounced", "hard_bounce")
    assert (lead.enrolment_status, lead.status(lead.second)) == ("stopped", "suppressed")
    assert (lead.events(lead.first), lead.counted("bounced")) == (["bounced"], 1)
    status, kind, provider, found = row(session, inbound_id)
    assert (status, kind, provider) == ("processed", "bounce", "ses")
    assert (found["class"], found["status"], found["rule"]) == (
        "hard",
        "5.1.1",
        "text.user-unknown",
    )


def test_the_dsn_and_the_providers_event_of_one_bounce_count_once(sequence, tell, arrive):
    lead = sequence()
    work_off(InboundPayload(message_ids=[arrive(lead.first, report(TO, "5.2.2", said="552 full"))]))
    tell(
        lead.app_id,
        Provider.SENDGRID,
        sendgrid("bounce", lead.first.hex, TO, type="bounce", reason="552 5.2.2 mailbox full"),
    )

    assert lead.counted("bounced") == 1
    assert lead.value("SELECT count(*) FROM soft_bounces") == 1


@pytest.mark.parametrize(
    ("event", "status", "suppressed", "enrolment"),
    [
        ("spamreport", "complained", "complaint", "stopped"),
        ("unsubscribe", "sent", "unsubscribe", "stopped"),
        ("delivered", "delivered", None, "active"),
        ("deferred", "sent", None, "active"),
        ("open", "sent", None, "active"),
    ],
)
def test_each_class_has_its_effect(sequence, tell, event, status, suppressed, enrolment):
    lead = sequence()
    tell(lead.app_id, Provider.SENDGRID, sendgrid(event, lead.first.hex, TO))

    assert (lead.status(lead.first), lead.suppressed_for) == (status, suppressed)
    assert lead.enrolment_status == enrolment


def test_an_unsubscription_says_who_told_it(sequence, tell):
    lead = sequence()
    tell(lead.app_id, Provider.SENDGRID, sendgrid("unsubscribe", lead.first.hex, TO))

    told = "SELECT data ->> 'by' FROM email_events WHERE email_id = %s AND type = 'unsubscribed'"
    assert lead.value(told, lead.first) == "sendgrid"
    assert lead.counted("unsubscribed") == 1


def test_an_event_proves_that_an_unknown_mail_was_sent(sequence, tell):
    lead = sequence(status="unknown")
    tell(lead.app_id, Provider.POSTMARK, postmark("Delivery", lead.first.hex, TO, DeliveredAt="x"))

    assert lead.status(lead.first) == "delivered"


def test_opens_are_kept_and_visibly_ignored(session, sequence, tell):
    lead = sequence()
    (inbound_id,) = tell(lead.app_id, Provider.POSTMARK, postmark("Open", lead.first.hex, TO))

    status, kind, _, found = row(session, inbound_id)
    assert (status, kind, found["rule"]) == ("ignored", "other", "provider.not-read")
    assert "Open" in found["explanation"]


def test_an_event_about_another_apps_mail_does_nothing(session, sequence, tell):
    lead = sequence()
    stranger = make_app(session).id
    (inbound_id,) = tell(stranger, Provider.SENDGRID, sendgrid("spamreport", lead.first.hex, TO))

    status, kind, _, found = row(session, inbound_id)
    assert (status, kind) == ("ignored", "complaint")
    assert found["remark"] == "It names no mail of this app."
    assert (lead.status(lead.first), lead.suppressed_for) == ("sent", None)
    assert session.execute("SELECT FROM suppression_list").fetchall() == []


def test_an_event_about_another_address_does_nothing(sequence, tell):
    lead = sequence()
    tell(lead.app_id, Provider.SENDGRID, sendgrid("spamreport", lead.first.hex, "else@example.com"))

    assert (lead.status(lead.first), lead.suppressed_for) == ("sent", None)


def test_an_event_faster_than_the_outcome_waits_for_it(session, sequence, tell):
    lead = sequence(status="sending")
    event = sendgrid("delivered", lead.first.hex, TO)
    (inbound_id,) = tell(lead.app_id, Provider.SENDGRID, event)
    assert row(session, inbound_id)[0] == "received"

    session.execute("UPDATE emails SET status = 'sent' WHERE id = %s", (lead.first,))
    work_off(InboundPayload(message_ids=[inbound_id]))

    assert lead.status(lead.first) == "delivered"
