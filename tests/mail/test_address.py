"""One spelling for each address; refusals say why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InputInvalid
from app.mail.address import domain_of, is_safe, normalise, smtputf8_needed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user@example.com", "user@example.com"),
        ("  User.Name+tag@EXAMPLE.Com ", "User.Name+tag@example.com"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("user@bücher.example", "user@xn--bcher-kva.example"),
        ("zoë@example.com", "zoë@example.com"),
        ("lead1@inbox.test", "lead1@inbox.test"),
    ],
)
def test_addresses_get_one_spelling(text, expected):
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "user",
        "user@",
        "@example.com",
        "user@example",
        "a..b@example.com",
        ".a@example.com",
        "user@-example.com",
        "user@example..com",
        "us er@example.com",
        "user@example.com\r\nBcc: evil@example.com",
        "<user@example.com>",
        "a@b@example.com",
        '"a b"@example.com',
        "u" * 65 + "@example.com",
        "user@" + "a." * 130 + "com",
        "user\x00@example.com",
    ],
)
def test_what_is_no_address_is_refused_with_a_reason(text):
    with pytest.raises(InputInvalid) as refused:
        normalise(text)

    assert refused.value.field == "email"
    assert refused.value.why


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_normalised_address_is_safe_and_stays_as_it_is(local, domain):
    try:
        address = normalise(f"{local}@{domain}")
    except InputInvalid:
        return

    assert is_safe(address)
    assert normalise(address) == address
    assert domain_of(address).isascii()


def test_only_a_local_part_beyond_ascii_needs_smtputf8():
    assert smtputf8_needed(normalise("zoë@example.com"))
    assert not smtputf8_needed(normalise("zoe@bücher.example"))
