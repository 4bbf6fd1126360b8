"""A return path names its e-mail to us alone."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from app.mail.address import is_safe
from app.mail.verp import (
    AddressUse,
    CodedAddress,
    coded_address,
    coded_domain,
    named_by,
    read_coded_address,
)

KEY, OLD = b"k" * 32, b"o" * 32
MAIL = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")
NAMED = CodedAddress(use=AddressUse.BOUNCE, email_id=MAIL)


@given(st.data())
def test_a_changed_return_path_names_nobody(data):
    path = coded_address(AddressUse.BOUNCE, MAIL, KEY, "b.example")
    place = data.draw(st.integers(0, path.index("@") - 1))
    other = data.draw(
        st.sampled_from("abcdefghijklmnopqrstuvwxyz234567.+-").filter(lambda c: c != path[place])
    )

    assert read_coded_address(path[:place] + other + path[place + 1 :], [KEY]) != NAMED


def test_a_foreign_key_and_other_addresses_name_nobody():
    path = coded_address(AddressUse.BOUNCE, MAIL, KEY, "b.example")
    assert read_coded_address(path, [OLD]) is None
    assert read_coded_address("user@example.com", [KEY]) is None
    assert read_coded_address("", [KEY]) is None


@given(st.sampled_from(AddressUse), st.uuids())
def test_an_address_says_what_it_is_for_in_any_case(use, email_id):
    address = coded_address(use, email_id, KEY, "in.example")

    assert is_safe(address)
    for spelt in (address, address.upper()):
        coded = read_coded_address(spelt, [OLD, KEY])
        assert coded is not None
        assert (coded.use, coded.email_id) == (use, email_id)


def test_a_token_is_good_for_one_use_only():
    reply = coded_address(AddressUse.REPLY, MAIL, KEY, "in.example")
    assert read_coded_address(reply.replace("r+", "unsubscribe+"), [KEY]) is None
    assert read_coded_address(reply.replace("r+", "b+"), [KEY]) is None


@given(st.text())
def test_any_text_is_read_as_no_address_of_ours(text):
    assert read_coded_address(text, [KEY]) is None


@given(st.text(), st.text())
def test_an_address_of_the_domain_is_found_in_any_text(before, after):
    domain = coded_domain("in.example", KEY.decode())
    address = domain.address(AddressUse.UNSUBSCRIBE, MAIL)

    assert domain.first_in(f"{before} <mailto:{address}> {after}").email_id == MAIL
    assert domain.first_in(f"{before} {address}.evil.example {after}") is None
    assert domain.first_in(f"{before} {address.replace('.', '.a', 1)} {after}") is None


@given(st.uuids())
def test_our_message_id_names_its_mail_with_or_without_brackets(email_id):
    for text in (f"<{email_id.hex}@example.org>", f" {email_id.hex.upper()}@example.org"):
        assert named_by(text) == email_id


@given(st.text())
def test_any_other_message_id_names_none(text):
    assert named_by(f"{text}@example.org") is None
