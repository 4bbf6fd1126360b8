"""Replies, notices and complaints as nodemailer and swaks write and send them, over SMTP."""

from collections.abc import Callable
from uuid import UUID

import pytest

from actors.inbound import work_off
from app.inbound.server import InboundServer
from app.mail.verp import AddressUse
from app.queueing.payloads import InboundPayload
from tests.feedback.answers import complaint
from tests.feedback.conftest import TO
from tests.peers import senders
from tests.peers.senders import Letter

PROGRAMS = {"nodemailer": senders.nodemailer, "swaks": senders.swaks}


@pytest.fixture(params=PROGRAMS)
def send_back(request, session, listening, coded) -> Callable[..., None]:
    """Lets a program answer an e-mail over SMTP, and works off what was stored."""
    send = PROGRAMS[request.param]

    def answer(email_id: UUID, use: AddressUse, **written) -> None:
        with InboundServer(listening) as server:
            send(server.port, Letter(to=coded.address(use, email_id), **written))
        rows = session.execute("SELECT id FROM inbound_messages").fetchall()
        assert len(rows) == 1
        work_off(InboundPayload(message_ids=[row[0] for row in rows]))

    return answer


def test_a_persons_reply_stops_the_sequence(sequence, send_back):
    lead = sequence()
    thread = {"In-Reply-To": f"<{lead.first.hex}@example.org>", "Message-ID": "<a1@example.com>"}
    send_back(
        lead.first,
        AddressUse.REPLY,
        subject="Re: Hello",
        text="Gladly! Tuesday suits me.",
        headers=thread | {"References": thread["In-Reply-To"]},
    )

    assert (lead.enrolment_status, lead.status(lead.second)) == ("stopped", "cancelled")
    assert lead.events(lead.first) == ["first_replied", "replied"]
    said = lead.value("SELECT classification->'answers'->>0 FROM inbound_messages")
    assert said == f"{lead.first.hex}@example.org"


def test_a_machines_reply_stops_nothing(sequence, send_back):
    lead = sequence()
    send_back(
        lead.first,
        AddressUse.BOUNCE,
        subject="Ticket 4711",
        text="We got your mail.",
        headers={"Auto-Submitted": "auto-replied"},
    )

    assert (lead.enrolment_status, lead.status(lead.second)) == ("active", "scheduled")
    assert lead.events(lead.first) == ["auto_replied"]


def test_a_complaint_suppresses(sequence, send_back):
    lead = sequence()
    send_back(lead.first, AddressUse.BOUNCE, raw=complaint(TO))

    assert (lead.status(lead.first), lead.suppressed_for) == ("complained", "complaint")
    assert lead.enrolment_status == "stopped"


def test_a_mail_to_the_unsubscribe_address_is_honoured(sequence, send_back):
    lead = sequence()
    send_back(lead.first, AddressUse.UNSUBSCRIBE, subject="unsubscribe", text="unsubscribe")

    assert (lead.suppressed_for, lead.enrolment_status) == ("unsubscribe", "stopped")
