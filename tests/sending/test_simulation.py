"""Recipients of the simulator say what becomes of their mail; all others get it."""

import pytest

from app.sending.simulation import Evidence, is_suppressed, play
from app.smtp.transaction import Verdict


@pytest.mark.parametrize(
    ("local", "verdict", "last"),
    [
        ("anybody", Verdict.ACCEPTED, Evidence.DELIVERED),
        ("bounce", Verdict.ACCEPTED, Evidence.BOUNCED),
        ("Complaint", Verdict.ACCEPTED, Evidence.COMPLAINED),
        ("open", Verdict.ACCEPTED, Evidence.OPENED),
        ("click+order-7", Verdict.ACCEPTED, Evidence.CLICKED),
        ("unsubscribe", Verdict.ACCEPTED, Evidence.UNSUBSCRIBED),
        ("defer", Verdict.DEFERRED, None),
        ("refuse", Verdict.REFUSED, None),
        ("unknown", Verdict.UNKNOWN, None),
    ],
)
def test_the_local_part_names_the_outcome(local, verdict, last):
    found = play(f"{local}@simulator.example", 1)

    assert found.attempt.verdict is verdict
    assert (found.evidence or (None,))[-1] is last


def test_a_deferred_mail_goes_at_its_second_attempt():
    assert play("defer@simulator.example", 2).attempt.verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("to", ["bounce@example.com", "bounce@mysimulator.example", "x@simulator"])
def test_an_ordinary_recipient_gets_the_mail(to):
    assert play(to, 1).evidence == (Evidence.DELIVERED,)


def test_one_recipient_is_suppressed():
    assert is_suppressed("suppressed+1@simulator.example")
    assert not is_suppressed("suppressed@example.com")
