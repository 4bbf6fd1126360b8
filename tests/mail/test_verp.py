"""A return path names its e-mail to us alone."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from app.mail.address import is_safe
from app.mail.verp import (
    AddressUse,
    coded_address,
    read_coded_address,
    read_return_path,
    return_path,
)

KEY, OLD = b"k" * 32, b"o" * 32
MAIL = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@given(st.uuids())
def test_a_return_path_reads_back_in_any_case(email_id):
    path = return_path(email_id, KEY, "bounce.example.com")

    assert is_safe(path)
    assert read_return_path(path, [KEY]) == email_id
    assert read_return_path(path.upper(), [OLD, KEY]) == email_id


@given(st.data())
def test_a_changed_return_path_names_nobody(data):
    path = return_path(MAIL, KEY, "b.example")
    place = data.draw(st.integers(0, path.index("@") - 1))
    other = data.draw(
        st.sampled_from("abcdefghijklmnopqrstuvwxyz234567.+-").filter(lambda c: c != path[place])
    )

    assert read_return_path(path[:place] + other + path[place + 1 :], [KEY]) != MAIL


def test_a_foreign_key_and_other_addresses_name_nobody():
    assert read_return_path(return_path(MAIL, KEY, "b.example"), [OLD]) is None
    assert read_return_path("user@example.com", [KEY]) is None
    assert read_return_path("", [KEY]) is None


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
    assert read_return_path(reply.replace("r+", "b+"), [KEY]) is None


@given(st.text())
def test_any_text_is_read_as_no_address_of_ours(text):
    assert read_coded_address(text, [KEY]) is None
