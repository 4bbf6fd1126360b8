"""Framing of replies, whatever the pieces they come in."""

from hypothesis import given
from hypothesis import strategies as st

from app.smtp.replies import GARBLED, ReplyBuffer

TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
REPLIES = st.lists(st.tuples(st.integers(200, 599), st.lists(TEXTS, min_size=1, max_size=3)))


@given(REPLIES, st.data())
def test_replies_come_out_whole_however_they_are_cut(replies, data):
    wire = b"".join(
        b"%d%b%b\r\n" % (code, b" " if number == len(texts) else b"-", text.encode())
        for code, texts in replies
        for number, text in enumerate(texts, 1)
    )
    buffer, found = ReplyBuffer(), []
    while wire:
        cut = data.draw(st.integers(1, len(wire)))
        found += buffer.feed(wire[:cut])
        wire = wire[cut:]
    assert found == [(code, "\n".join(texts).encode()) for code, texts in replies]
    assert buffer.is_empty()


@given(st.binary(max_size=300))
def test_any_bytes_are_taken_without_an_exception(data):
    for code, text in ReplyBuffer().feed(data):
        assert code == GARBLED or 200 <= code < 600
        assert b"\r" not in text


def test_good_replies_before_garbage_count():
    replies = ReplyBuffer().feed(b"250 kept\r\nwhat\r\n250 lost\r\n")
    assert replies == [(250, b"kept"), (GARBLED, b"not an SMTP reply: what")]


def test_endless_lines_and_endless_replies_are_cut_off():
    assert ReplyBuffer().feed(b"250 " + b"x" * 9_000)[0][0] == GARBLED
    assert ReplyBuffer().feed(b"250-xxxxxxxxxxxx\r\n" * 9_000)[0][0] == GARBLED


def test_a_bare_code_is_a_reply():
    assert ReplyBuffer().feed(b"250\r\n250 \r\n") == [(250, b""), (250, b"")]


def test_control_characters_are_not_passed_on():
    assert ReplyBuffer().feed(b"550 a\x1b[2Jb\x07\r\n") == [(550, b"a?[2Jb?")]
