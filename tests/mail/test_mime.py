"""Quoted-printable that decodes to what went in, in lines a soft break may follow."""

import quopri
import re

from hypothesis import given
from hypothesis import strategies as st

from app.mail.mime import SOFT_BREAK, boundary, quoted_printable, slot_value

TEXT = st.text(
    st.one_of(st.sampled_from(". =\n\r\taé漢😀"), st.characters(codec="utf-8")), max_size=400
)
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def expected(text):
    return CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def decoded(encoded):
    return quopri.decodestring(encoded.encode("ascii")).decode().replace("\r\n", "\n")


@given(TEXT)
def test_text_reads_back(text):
    assert decoded(quoted_printable(text)) == expected(text)


@given(TEXT)
def test_lines_are_short_ascii_and_start_with_no_dot(text):
    lines = quoted_printable(text).split("\r\n")

    assert all(line.isascii() and len(line) <= 76 for line in lines)
    assert len(lines[-1]) <= 75
    assert not any(line.startswith(".") or "\n" in line or "\r" in line for line in lines)
    assert not any(line.endswith((" ", "\t")) for line in lines)


@given(st.lists(TEXT, min_size=1, max_size=5))
def test_segments_joined_by_soft_breaks_read_back(texts):
    joined = SOFT_BREAK.join(slot_value(text) for text in texts)

    assert decoded(joined) == "".join(map(expected, texts))


@given(st.integers(70, 80), st.sampled_from(["é", ".", "=", " ", "\n", "a"]))
def test_every_edge_of_a_line_reads_back(length, last):
    for text in ("a" * length + last, "." * length + last, "é" * (length // 6) + last * 3):
        assert decoded(quoted_printable(text)) == expected(text)


def test_a_boundary_depends_on_the_contents_and_is_no_quoted_printable():
    assert boundary("a", "b") == boundary("a", "b") != boundary("ab", "")
    assert boundary("a").startswith("=_")
