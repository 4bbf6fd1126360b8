"""What codes and enhanced status codes of SMTP replies mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.reply import EnhancedStatus, Severity, SmtpReply, enhanced_status


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (550, "5.1.1 no such user", "5.1.1"),
        (250, "2.0.0", "2.0.0"),
        (451, "4.7.10 later", "4.7.10"),
        (550, "no such user 5.1.1", None),
        (550, "2.0.0 contradicts itself", None),
        (550, "5.1.1.1 is no status", None),
        (550, "5.1", None),
        (550, "", None),
    ],
)
def test_the_enhanced_code_stands_at_the_start_and_agrees(code, text, status):
    found = SmtpReply(code=code, text=text).enhanced
    assert (str(found) if found else None) == status


def test_a_code_inside_a_text_is_found_when_asked_for():
    assert str(enhanced_status("said: 550 (5.7.1) blocked")) == "5.7.1"
    assert enhanced_status("from 192.0.2.5.7.1 no") is None


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        (250, Severity.SUCCESS),
        (451, Severity.TRANSIENT),
        (550, Severity.PERMANENT),
        (354, None),
        (0, None),
    ],
)
def test_the_first_digit_says_what_becomes_of_the_mail(code, severity):
    assert SmtpReply(code=code, text="").severity is severity


@given(st.sampled_from([2, 4, 5]), st.integers(0, 999), st.integers(0, 999))
def test_a_status_is_read_back_as_it_is_written(class_, subject, detail):
    status = EnhancedStatus(class_=class_, subject=subject, detail=detail)
    assert enhanced_status(f"{status} text", anywhere=False) == status


@given(st.text())
def test_any_text_is_taken_without_an_exception(text):
    SmtpReply(code=550, text=text).enhanced  # noqa: B018 - it must not raise
    enhanced_status(text)
