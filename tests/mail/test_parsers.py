"""Every parser of what comes back takes any text and any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import arf, auto_reply, notice, prose, unsubscribe
from app.mail.charsets import base64_bytes, text_of, unfolded_words
from app.mail.classify import Evidence, classify
from app.mail.dsn import Action, report_in
from app.mail.layout import lay_out
from app.mail.message import html_text, media_type, read_headers, read_message
from app.mail.recipient import addresses_in, recipient_of
from app.mail.reply import EnhancedStatus
from app.mail.status import meaning, status_field, status_in
from app.mail.thread import read_thread, split_quotes

WORDS = st.sampled_from(
    ["<a@b.example>", "rfc822;", "=?utf-8?q?", "?=", "5.1.1", "550 ", "\n", ": ", ">", "user unknown",
     "Final-Recipient: ", "Status: ", "On x ", " wrote:", "<style>", "&amp;", "\\x{41}", "+40", "\0"]
)  # fmt: skip
TEXT = st.lists(st.one_of(WORDS, st.text(max_size=20)), max_size=40).map("".join)
STATUS = st.builds(
    EnhancedStatus,
    class_=st.sampled_from([2, 4, 5]),
    subject=st.integers(0, 999),
    detail=st.integers(0, 999),
)


@given(TEXT)
def test_any_text_goes_through_every_parser(text):
    headers = read_headers(text)
    recipient_of(text)
    addresses_in(text)
    status_field(text)
    status_in(text)
    report_in(text)
    unfolded_words(text)
    html_text(text)
    media_type(text)
    read_thread(headers)
    split_quotes(text)
    notice.failures_in(text, set(), [])
    notice.users_in(text, "b.example")
    prose.looks_like_notice(headers, text)
    prose.is_delay_notice(headers, text)
    auto_reply.is_challenge(headers, text)
    unsubscribe.wants_to_leave(headers, text)
    arf.read_complaint(read_message(text.encode("utf-8", "replace")), [headers])


@given(st.binary(max_size=300), st.text(max_size=30))
def test_any_bytes_are_some_text(raw, charset):
    assert "\0" not in text_of(raw, charset)
    base64_bytes(raw)
    lay_out(raw)


@given(st.one_of(st.none(), STATUS), st.one_of(st.none(), st.sampled_from(Action)), TEXT, TEXT)
def test_any_evidence_has_a_verdict_with_a_reason(status, action, diagnostic, words):
    verdict = classify(
        Evidence(
            address="a@b.example", status=status, action=action, diagnostic=diagnostic, notice=words
        )
    )
    assert verdict.rule
    assert verdict.explanation


@given(STATUS)
def test_a_status_field_reads_back_and_has_a_meaning(status):
    assert status_field(f" {status} (comment)") == status
    assert meaning(status)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("rfc822; ana@example.com", "ana@example.com"),
        ("RFC822;<ana@example.com>", "ana@example.com"),
        ("rfc822; rfc822; ana@Example.COM", "ana@Example.COM"),
        ("rfc822;ana+40example.com", "ana@example.com"),
        ("rfc822; ana+tag@example.com", "ana+tag@example.com"),
        ("rfc822; <@relay.example:ana@example.com>", "ana@example.com"),
        ('rfc822; "ana smith"@example.com', '"ana smith"@example.com'),
        ("utf-8; ana\\x{40}example.com", "ana@example.com"),
        ("SMTP:ana@example.com", "ana@example.com"),
        ("rfc822; 'ana@example.com'", "ana@example.com"),
        ("rfc822; root@localhost", "root@localhost"),
        ("rfc822; ana@example.com.", "ana@example.com"),
        ("unknown; nobody", None),
        ("", None),
    ],
)
def test_a_recipient_field_names_its_address(value, address):
    assert recipient_of(value) == address


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("smtp; 550 5.1.1 no", "5.1.1"),
        ("550-5.7.26 refused", "5.7.26"),
        ("sorry (#5.1.1)", "5.1.1"),
        ("<x #5.5.0 smtp;550 no>", "5.5.0"),
        ("550 5.0.0 rejected: 5.2.2 full", "5.2.2"),
        ("from 192.0.2.5.1.1 no", None),
        ("Mailman 2.0.12", None),
        ("version 5.1.1.7", None),
    ],
)
def test_a_status_is_found_in_a_text(text, status):
    found = status_in(text)
    assert (str(found) if found else None) == status
