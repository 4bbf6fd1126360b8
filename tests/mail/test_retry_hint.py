"""How long a server asks to be left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.retry_hint import retry_hint_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.7.1 try again in 300 seconds", 300),
        ("Greylisted, please try again in 5 minutes.", 300),
        ("4.2.0 Greylisting in action, please come back in 00:04:59", 299),
        ("4.7.1 <a@b.example>: Recipient address rejected: Greylisted for 5 minutes", 300),
        ("Please retry after 60s", 60),
        ("Too many connections, wait 2h", 7_200),
        ("rate limited; retry in 1 hour", 3_600),
        ("Retry timeout 300 secs", 300),
    ],
)
def test_a_named_wait_is_understood(text: str, seconds: int) -> None:
    assert retry_hint_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "4.7.1 Please try again later",
        "4.7.650 The mail server [192.0.2.30] has been temporarily rate limited",
        "4.3.2 all 300 seconds of patience are gone",
        "4.2.2 mailbox full, 300 messages",
        "",
    ],
)
def test_other_numbers_are_no_wait(text: str) -> None:
    assert retry_hint_s(text) is None


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    hint = retry_hint_s(text)
    assert hint is None or hint >= 0
