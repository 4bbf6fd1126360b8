"""What an answer means for the mail its address names."""

import pytest

from app.feedback.findings import Effect, find
from app.mail.answer import read_answer
from app.mail.verp import AddressUse
from tests.feedback.answers import complaint, report, written

TO = "ana@example.com"


def effect(raw: bytes, use: AddressUse = AddressUse.BOUNCE) -> Effect:
    return find(read_answer(raw), use, TO).effect


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (report(TO), Effect.HARD_BOUNCE),
        (report("ANA@Example.com"), Effect.HARD_BOUNCE),
        (report(TO, "5.2.2", said="552 5.2.2 mailbox full"), Effect.SOFT_BOUNCE),
        (report(TO, "5.7.1", said="554 5.7.1 rejected as spam"), Effect.BLOCK),
        (report(TO, "2.0.0", "delivered", "250 ok"), Effect.DELIVERED),
        (report(TO, "4.4.1", "delayed", "421 4.4.1 timed out"), Effect.DELAYED),
        (complaint(TO), Effect.COMPLAINT),
        (written("Re: Hello", "Yes, let us talk."), Effect.REPLY),
        (written("Re: Hello", "Please unsubscribe me"), Effect.UNSUBSCRIBE),
        (
            written("Out of office: Hello", "Back on Monday.", Auto_Submitted="auto-replied"),
            Effect.ABSENCE,
        ),
        (
            written("Ticket 4711", "We got your mail.", Auto_Submitted="auto-replied"),
            Effect.AUTO_REPLY,
        ),
    ],
)
def test_an_answer_at_a_return_path_has_its_effect(raw: bytes, expected: Effect) -> None:
    assert effect(raw) is expected


def test_a_hard_bounce_of_another_address_is_counted_softly() -> None:
    assert effect(report("forwarded@elsewhere.example")) is Effect.SOFT_BOUNCE


@pytest.mark.parametrize("use", [AddressUse.REPLY, AddressUse.UNSUBSCRIBE])
def test_a_bounce_at_an_address_that_is_printed_in_the_mail_does_nothing(use: AddressUse) -> None:
    assert effect(report(TO), use) is Effect.NOTHING


def test_whatever_a_person_writes_to_the_unsubscribe_address_is_a_wish_to_leave() -> None:
    assert effect(written("", ""), AddressUse.UNSUBSCRIBE) is Effect.UNSUBSCRIBE


def test_a_vacation_notice_at_the_unsubscribe_address_unsubscribes_nobody() -> None:
    raw = written("Out of office", "Away.", Auto_Submitted="auto-replied")
    assert effect(raw, AddressUse.UNSUBSCRIBE) is Effect.ABSENCE
