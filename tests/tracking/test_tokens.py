"""Tokens: readable by their keys for ever, by nobody else, and never in a second spelling."""

import uuid

import itsdangerous
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationInvalid
from tracking.tokens import TokenKeys, agree, signer

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = TokenKeys([OLD, NEW])
APP, OTHER_APP = uuid.UUID(int=7), uuid.UUID(int=8)
MAIL = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")
URL = "https://example.com/a?b=c"
URL_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


@given(st.uuids(), st.uuids())
def test_a_mail_token_gives_back_its_email(email_id, app_id):
    found = KEYS.read_mail(KEYS.mail_token(email_id, app_id))

    assert found is not None
    assert found.email_id == email_id


@given(URL_TEXT, st.integers(0, 65_535))
def test_a_link_token_gives_back_destination_and_number(url, number):
    found = KEYS.read_link(KEYS.link_token(url, number, APP))

    assert found is not None
    assert (found.url, found.link_no) == (url, number)


@given(st.data(), st.sampled_from(["mail", "unsubscribe", "link"]))
def test_a_changed_token_is_refused(data, purpose):
    token, read = tokens()[purpose]
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != token[place]))

    assert read(token[:place] + other + token[place + 1 :]) is None


@given(st.data(), st.sampled_from(["mail", "unsubscribe", "link"]))
def test_a_lengthened_or_shortened_token_is_refused(data, purpose):
    token, read = tokens()[purpose]
    more = data.draw(st.text(min_size=1, max_size=4))

    assert read(token + more) is None
    assert read(more + token) is None
    assert read(token[: data.draw(st.integers(0, len(token) - 1))]) is None


@given(st.text(max_size=200))
def test_garbage_is_refused_without_an_error(text):
    assert KEYS.read_mail(text) is None
    assert KEYS.read_unsubscribe(text) is None
    assert KEYS.read_link(text) is None


def test_a_token_longer_than_any_we_sign_is_refused():
    assert KEYS.read_link("a" * 1_000_000) is None


def test_tokens_of_an_old_key_verify_after_rotation():
    before = TokenKeys([OLD])

    mail = KEYS.read_mail(before.mail_token(MAIL, APP))
    link = KEYS.read_link(before.link_token(URL, 3, APP))

    assert mail is not None
    assert mail.email_id == MAIL
    assert link is not None


def test_tokens_signed_before_and_after_a_rotation_agree():
    mail = KEYS.read_mail(TokenKeys([OLD]).mail_token(MAIL, APP))
    link = KEYS.read_link(KEYS.link_token(URL, 1, APP))

    assert mail is not None
    assert link is not None
    assert agree(mail, link)


def test_tokens_of_a_foreign_key_are_refused():
    assert KEYS.read_mail(TokenKeys([b"x" * 32]).mail_token(MAIL, APP)) is None


def test_tokens_of_two_apps_do_not_agree():
    mail = KEYS.read_mail(KEYS.mail_token(MAIL, APP))
    link = KEYS.read_link(KEYS.link_token(URL, 1, OTHER_APP))

    assert mail is not None
    assert link is not None
    assert not agree(mail, link)


def test_a_token_serves_one_purpose_only():
    mail = KEYS.mail_token(MAIL, APP)

    assert KEYS.read_unsubscribe(mail) is None
    assert KEYS.read_link(mail) is None
    assert KEYS.read_mail(KEYS.unsubscribe_token(MAIL, APP)) is None


def test_no_id_is_readable_in_a_token():
    raw = itsdangerous.encoding.base64_decode(KEYS.mail_token(MAIL, APP).partition(".")[0])

    assert MAIL.bytes not in raw
    assert MAIL.bytes[:6] not in raw
    assert APP.bytes not in raw


def test_itsdangerous_reads_the_same_signature():
    token = KEYS.mail_token(MAIL, APP)

    assert signer([OLD, NEW], b"mailqueue.mail").unsign(token) == token.partition(".")[0].encode()


def test_a_mail_token_is_short_and_needs_no_escaping():
    token = KEYS.mail_token(MAIL, APP)

    assert len(token) == 51
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@pytest.mark.parametrize("keys", [[], [b""], [b"a", b""]])
def test_empty_keys_are_a_configuration_error(keys):
    with pytest.raises(ConfigurationInvalid):
        TokenKeys(keys)


def tokens():
    return {
        "mail": (KEYS.mail_token(MAIL, APP), KEYS.read_mail),
        "unsubscribe": (KEYS.unsubscribe_token(MAIL, APP), KEYS.read_unsubscribe),
        "link": (KEYS.link_token(URL, 3, APP), KEYS.read_link),
    }
