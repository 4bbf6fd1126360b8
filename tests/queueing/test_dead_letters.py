"""Rows of dead letters."""

import dataclasses
import datetime as dt
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from app.errors import MessageMalformed
from app.queueing import dead_letters, messages
from app.queueing.payloads import TickPayload

NOW = dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC)


def letter(body=None, **changes):
    body = (
        messages.encode("schedule_tick", "schedule", TickPayload()).body if body is None else body
    )
    made = dead_letters.from_bytes("schedule", body, MessageMalformed("Bad."), NOW)
    return dataclasses.replace(made, **changes)


def test_same_error_about_other_mails_has_one_fingerprint():
    texts = ["550 no such user ada@one.example (id 7)", "550 no such user bob@two.example (id 8)"]
    assert len({dead_letters.fingerprint("SmtpError", text, "app.x:f") for text in texts}) == 1


def test_another_class_or_place_is_another_fingerprint():
    prints = {
        dead_letters.fingerprint("A", "text", "app.x:f"),
        dead_letters.fingerprint("B", "text", "app.x:f"),
        dead_letters.fingerprint("A", "text", "app.x:g"),
    }
    assert len(prints) == 3


def test_place_is_the_innermost_frame_of_our_own_code():
    try:
        messages.decode(b"[]")
    except MessageMalformed as error:
        place = dead_letters.place_of(error.__traceback__)
    assert place == "app.queueing.messages:decode"


@given(st.text(st.characters(codec=None)))
def test_any_text_is_made_printable(text):
    clean = dead_letters.printable(text)
    assert "\0" not in clean
    assert len(clean.encode()) >= len(text)


def test_recording_twice_writes_one_row(session):
    one = letter()
    dead_letters.record(session, one)
    dead_letters.record(session, one)
    assert session.execute("SELECT count(*) FROM dead_letters").fetchone() == (1,)


def test_bytes_with_nul_are_recorded(session):
    for body in (b"\x00\xff raw", b'{"a": "\\u0000"}'):
        dead_letters.record(session, letter(body))
    stored = [row[0] for row in session.execute("SELECT message FROM dead_letters ORDER BY id")]
    assert stored == [{"undecodable": "\ufffd\\xff raw"}, {"a": "\ufffd"}]


def test_app_that_no_longer_exists_does_not_cost_the_row(session):
    dead_letters.record(session, letter(app_id=uuid4()))
    assert session.execute("SELECT app_id FROM dead_letters").fetchone() == (None,)


def test_only_open_dead_letters_are_marked(session):
    one = letter()
    dead_letters.record(session, one)
    assert dead_letters.mark_retried(session, [one.id, UUID(int=1)], by="ada") == [one.id]
    assert dead_letters.mark_discarded(session, [one.id], by="bob", reason="old") == []
    row = session.execute("SELECT status, resolved_by, resolved_at FROM dead_letters").fetchone()
    assert row[:2] == ("retried", "ada")
    assert row[2] is not None
