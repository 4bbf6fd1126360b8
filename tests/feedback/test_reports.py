"""Complaints at the one address of all feedback loops: only what proves its mail has an effect."""

import uuid

import pytest

from actors.inbound import work_off
from app.mail.verp import AddressUse
from app.queueing.payloads import InboundPayload
from tests.feedback.answers import complaint, report, written
from tests.feedback.conftest import TO


@pytest.fixture
def reported(session, arrive):
    """Stores a report, lets it be worked off twice; returns its row's status, app and remark."""

    def work(raw):
        inbound_id = arrive(None, raw)
        for _ in range(2):
            work_off(InboundPayload(message_ids=[inbound_id]))
        return session.execute(
            "SELECT m.status, m.app_id, c.app_id, classification ->> 'remark' "
            "FROM inbound_messages m JOIN inbox_message_content c ON c.ref_id = m.id "
            "WHERE m.id = %s",
            (inbound_id,),
        ).fetchone()

    return work


@pytest.mark.parametrize(
    ("field", "use"),
    [
        ("Return-Path: <{}>", AddressUse.BOUNCE),
        ("List-Unsubscribe: <mailto:{}>, <https://t.example/u/x>", AddressUse.UNSUBSCRIBE),
        ("Reply-To: {}", AddressUse.REPLY),
    ],
)
def test_a_report_that_returns_a_signed_address_is_a_complaint(
    sequence, coded, reported, field, use
):
    lead = sequence()
    raw = complaint("redacted@provider.example", field.format(coded.address(use, lead.first)))

    assert reported(raw) == ("processed", lead.app_id, lead.app_id, None)
    assert (lead.status(lead.first), lead.suppressed_for) == ("complained", "complaint")
    assert (lead.enrolment_status, lead.counted("complained")) == ("stopped", 1)


def test_a_report_that_returns_our_message_id_and_recipient_is_a_complaint(sequence, reported):
    lead = sequence()
    raw = complaint(TO.upper(), f"Message-ID: <{lead.first.hex}@example.org>")

    assert reported(raw)[0] == "processed"
    assert lead.suppressed_for == "complaint"


@pytest.mark.parametrize("to", ["redacted@provider.example", "someone@example.com"])
def test_a_message_id_alone_proves_nothing(sequence, reported, to):
    lead = sequence()
    raw = complaint(to, f"Message-ID: <{lead.first.hex}@example.org>")
    status, app_id, _, remark = reported(raw)

    assert (status, app_id) == ("ignored", None)
    assert "nobody is suppressed" in remark
    assert (lead.status(lead.first), lead.suppressed_for) == ("sent", None)


@pytest.mark.parametrize("use", ["b", "unsubscribe"])
def test_a_forged_address_proves_nothing(sequence, coded, reported, use):
    lead = sequence()
    forged = coded.address(AddressUse(use), lead.first).replace("@", "@x.", 1)
    other = coded.address(AddressUse(use), uuid.uuid4())
    mixed = coded.address(AddressUse(use), lead.first).split(".")[0] + "." + other.split(".", 1)[1]

    for address in (forged, mixed):
        assert reported(complaint(TO, f"Return-Path: <{address}>"))[0] == "ignored"
    assert (lead.status(lead.first), lead.suppressed_for) == ("sent", None)


@pytest.mark.parametrize("raw", [report(TO), written("Re: hello", "Stop this.")])
def test_what_is_no_feedback_report_does_nothing_at_this_address(sequence, coded, reported, raw):
    lead = sequence()
    named = f"X-Was: {coded.address(AddressUse.BOUNCE, lead.first)}\r\n".encode()

    assert reported(named + raw)[:2] == ("ignored", None)
    assert (lead.status(lead.first), lead.suppressed_for) == ("sent", None)
