"""A sealed secret opens only where it was sealed, with its key, unchanged."""

import base64
import logging
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationInvalid, SealBroken
from app.ids import new_id
from app.secretbox import Place, SecretBox

CANARY = "canary-5up3r-s3cret"
OLD, NEW = b"o" * 32, b"n" * 32
ROW, APP = new_id(), new_id()
PLACE = Place(table="smtp_configs", column="password_sealed", row_id=ROW, app_id=APP)
BOX = SecretBox({"k1": OLD}, current="k1")


def encoded(key: bytes) -> str:
    return base64.b64encode(key).decode()


@given(st.text(), st.uuids(), st.one_of(st.none(), st.uuids()))
def test_what_is_sealed_opens_again(plain: str, row_id: UUID, app_id: UUID | None):
    place = Place(table="users", column="totp_secret_sealed", row_id=row_id, app_id=app_id)
    assert BOX.open(BOX.seal(plain, **place), **place) == plain


def test_a_sealed_secret_reads_version_key_nonce_and_body():
    version, key_id, nonce, body = BOX.seal(CANARY, **PLACE).split(".")
    assert (version, key_id, len(nonce)) == ("v1", "k1", 16)
    assert "canary" not in body


def test_the_same_secret_never_seals_to_the_same_text():
    assert len({BOX.seal(CANARY, **PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "other",
    [
        {"table": "users"},
        {"column": "username"},
        {"row_id": new_id()},
        {"app_id": new_id()},
        {"app_id": None},
    ],
)
def test_a_secret_copied_elsewhere_does_not_open(other: dict):
    sealed = BOX.seal(CANARY, **PLACE)
    with pytest.raises(SealBroken, match="another row"):
        BOX.open(sealed, **PLACE | other)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_changed_secret_never_opens_as_something_else(position: int, letter: str):
    sealed = BOX.seal(CANARY, **PLACE)
    position %= len(sealed)
    changed = sealed[:position] + letter + sealed[position + 1 :]
    try:
        assert BOX.open(changed, **PLACE) == CANARY
    except SealBroken:
        assert changed != sealed


@given(st.text())
def test_text_that_was_never_sealed_is_refused(text: str):
    with pytest.raises(SealBroken):
        BOX.open(text, **PLACE)


def test_a_refusal_quotes_no_secret(caplog: pytest.LogCaptureFixture):
    sealed = BOX.seal(CANARY, **PLACE)
    with caplog.at_level(logging.DEBUG), pytest.raises(SealBroken) as refused:
        SecretBox({"k1": NEW}, current="k1").open(sealed, **PLACE)
    said = f"{refused.value} {refused.value.__cause__!r} {caplog.text}"
    assert CANARY not in said
    assert sealed not in said


def test_a_box_does_not_print_its_keys():
    assert repr(BOX) == "SecretBox(current='k1')"


def test_an_unknown_key_is_named():
    with pytest.raises(SealBroken, match="'k1' is not in MAILQUEUE_SEALING_KEYS"):
        SecretBox({"k2": NEW}, current="k2").open(BOX.seal(CANARY, **PLACE), **PLACE)


def test_the_first_key_of_the_setting_seals_and_the_others_open():
    sealed = BOX.seal(CANARY, **PLACE)
    box = SecretBox.from_setting(f"k2:{encoded(NEW)}, k1:{encoded(OLD)}")
    assert box.open(sealed, **PLACE) == CANARY
    assert box.seal(CANARY, **PLACE).startswith("v1.k2.")


def test_resealing_moves_a_secret_to_the_current_key_once():
    box = SecretBox({"k2": NEW, "k1": OLD}, current="k2")
    moved = box.reseal(BOX.seal(CANARY, **PLACE), **PLACE)
    assert SecretBox({"k2": NEW}, current="k2").open(moved, **PLACE) == CANARY
    assert box.reseal(moved, **PLACE) == moved


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("", "empty"),
        (encoded(OLD), "id:base64"),
        ("k.1:" + encoded(OLD), "id:base64"),
        ("k1:not base64", "not base64"),
        ("k1:" + encoded(b"short"), "5 bytes instead of 32"),
        (f"k1:{encoded(OLD)},k1:{encoded(NEW)}", "twice"),
    ],
)
def test_a_setting_that_cannot_be_used_says_why(setting: str, why: str):
    with pytest.raises(ConfigurationInvalid, match=why) as refused:
        SecretBox.from_setting(setting)
    assert refused.value.field == "MAILQUEUE_SEALING_KEYS"
    assert encoded(OLD) not in str(refused.value)
