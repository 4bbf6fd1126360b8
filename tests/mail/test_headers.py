"""Headers: what is written reads back, and nothing a person gives can become another line."""

import datetime as dt
import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InputInvalid
from app.mail.headers import (
    check_custom_headers,
    check_header,
    date_value,
    mailbox,
    mailboxes,
    unstructured,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=300)
INJECTION = "=?utf-8?q?hello=0D=0ABcc:_evil@example.com?="


def read_back(name, value):
    message = email.message_from_bytes(
        f"{name}: {value}\r\n\r\n".encode(), policy=email.policy.default
    )
    assert message.keys() == [name]
    return message[name]


@given(TEXT)
def test_a_subject_reads_back_and_is_one_header(text):
    written = unstructured(text)
    found = read_back("Subject", written)

    assert written.isascii()
    if text.isprintable():
        assert " ".join(found.split()) == " ".join(text.split())


@given(TEXT)
def test_encoded_lines_keep_to_rfc_2047(text):
    lines = f"Subject: {unstructured(text + 'é')}".split("\r\n")

    assert max(map(len, lines)) <= 76
    assert all(line.startswith(" =?utf-8?B?") for line in lines[1:])


def test_an_encoded_word_is_shown_and_never_decoded():
    assert read_back("Subject", unstructured(INJECTION)) == INJECTION


@given(TEXT)
def test_a_display_name_stays_one_mailbox(name):
    found = read_back("To", mailbox(name, "user@example.com"))

    assert [one.addr_spec for one in found.addresses] == ["user@example.com"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "u@e.example"),
        ("", "u@e.example"),
        ("  ", "u@e.example"),
        ("Ada Lovelace", "Ada Lovelace <u@e.example>"),
        ("Lovelace, Ada", '"Lovelace, Ada" <u@e.example>'),
        ('Ada "Count" \\', '"Ada \\"Count\\" \\\\" <u@e.example>'),
        ("Zoë", "=?utf-8?B?Wm/Dqw==?=\r\n <u@e.example>"),
        ("Ada\r\nBcc: evil@e.example", '"Ada Bcc: evil@e.example" <u@e.example>'),
    ],
)
def test_mailboxes_are_written_in_the_plainest_form(name, expected):
    assert mailbox(name, "u@e.example") == expected


@pytest.mark.parametrize(
    "name",
    ["", "X Y", "X:Y", "X\r\nBcc", "É", "x" * 77, "From", "BCC", "Dkim-Signature", "Content-Type",
     "list-unsubscribe-post", "Received", "ARC-Seal", "MIME-Version", "Subject"],
)  # fmt: skip
def test_names_that_are_ours_or_malformed_are_refused(name):
    with pytest.raises(InputInvalid):
        check_header(name, "value")


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\x00", INJECTION, "x" * 900])
def test_values_that_could_break_a_line_are_refused(value):
    with pytest.raises(InputInvalid):
        check_header("X-Order", value)


@given(TEXT)
def test_an_accepted_value_is_one_header(value):
    try:
        written = check_header("X-Order", value)
    except InputInvalid:
        return

    read_back("X-Order", written)


def test_a_date_is_written_as_rfc_5322_wants():
    moment = dt.datetime(2026, 11, 21, 20, 0, tzinfo=dt.UTC)

    assert date_value(moment) == "Sat, 21 Nov 2026 20:00:00 +0000"


def test_own_and_harmless_headers_are_allowed_as_they_were_given():
    given = {"X-Order-Id": "7", "In-Reply-To": "<a@b.example>", "x-city": "Zürich"}

    assert check_custom_headers(given) == given


@pytest.mark.parametrize(
    "name",
    ["From", "to", "CC", "Bcc", "Subject", "Date", "Message-ID", "Sender", "Reply-To",
     "Return-Path", "Received", "DKIM-Signature", "MIME-Version", "Content-Type",
     "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID", "Resent-To", "ARC-Seal",
     "Disposition-Notification-To", "X Y", "X-A:", "X-Ä", "", "X-A\r\nBcc"],
)  # fmt: skip
def test_a_header_that_steers_the_mail_is_refused_by_its_name(name):
    with pytest.raises(InputInvalid) as refused:
        check_custom_headers({"X-Fine": "1", name: "a@b.example"})
    assert refused.value.field == f"headers.{name}"


@pytest.mark.parametrize("value", ["a\r\nBcc: x@y.example", "a\0", INJECTION, "x" * 900, 7, None])
def test_a_value_that_is_no_line_is_refused(value):
    with pytest.raises(InputInvalid):
        check_custom_headers({"X-A": value})


@pytest.mark.parametrize(
    "headers",
    [
        {f"X-{n}": "a" for n in range(31)},
        {f"X-{n}": "a" * 800 for n in range(11)},
        {"X-A": "1", "x-a": "2"},
    ],
)
def test_too_many_headers_are_refused(headers):
    with pytest.raises(InputInvalid):
        check_custom_headers(headers)


@given(st.lists(st.tuples(st.none() | TEXT, st.just("a@b.example")), min_size=1, max_size=9))
def test_a_list_of_people_reads_back(people):
    found = read_back("To", mailboxes(people))

    assert [one.addr_spec for one in found.addresses] == ["a@b.example"] * len(people)
