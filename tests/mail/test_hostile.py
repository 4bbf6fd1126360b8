"""Hostile and broken mail is read in bounded time and memory, and never raises."""

import random
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.answer import read_answer
from app.mail.message import MOST_BYTES, MOST_PARTS, read_message
from tests.mail import hostile

KINDS = dict(hostile.every(300_000))
SAMPLES = sorted((Path(__file__).parent / "corpus" / "flufl").glob("*.txt"))
# Read in well under a second each; the limit leaves room for a loaded machine.
LIMIT_S = 20
LINES = [
    b"Final-Recipient: rfc822; a@b.example", b"Action: failed", b"Status: 5.1.1", b"", b"--x",
    b"Content-Type: message/delivery-status", b"Content-Type: multipart/report; boundary=x",
    b"Content-Type: message/rfc822", b"Subject: Undelivered mail", b"From: MAILER-DAEMON@b.example",
    b"<a@b.example>: user unknown", b"Content-Transfer-Encoding: base64", b"> quoted", b"\xff\0",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_made_to_cost_is_read_in_time(kind):
    started = time.process_time()
    answer = read_answer(KINDS[kind])

    assert time.process_time() - started < LIMIT_S
    assert answer.verdicts


def test_a_line_of_50_megabytes_takes_bounded_memory():
    raw = hostile.repeated(b"user unknown <a@b.example> ", 50_000_000)
    tracemalloc.start()
    message = read_message(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert message.truncated
    assert peak < 6 * MOST_BYTES
    assert sum(len(part.text) for part in message.parts) < 1_000_000


def test_parts_and_depth_have_caps_and_say_so():
    many = read_message(hostile.many_parts(10_000))
    deep = read_message(hostile.nested(5_000))

    assert len(many.parts) <= MOST_PARTS + 1
    assert many.truncated
    assert deep.truncated


def test_two_thousand_mangled_bounces_are_read():
    chance = random.Random(6)
    samples = [path.read_bytes()[:8_000] for path in SAMPLES]
    started = time.process_time()
    for _ in range(2_000):
        assert read_answer(mangled(chance.choice(samples), chance)).verdicts
    assert time.process_time() - started < 600


def mangled(raw: bytes, chance: random.Random) -> bytes:
    data = bytearray(raw)
    for _ in range(chance.randint(1, 12)):
        place = chance.randrange(len(data) + 1)
        other = chance.randrange(len(data) + 1)
        piece = bytes(data[other : other + chance.randint(1, 300)])
        match chance.randrange(4):
            case 0:
                data[place:place] = chance.randbytes(chance.randint(1, 30))
            case 1:
                del data[place : place + len(piece)]
            case 2:
                data[place:place] = piece
            case _:
                data[place:place] = chance.choice([b"\0", b"\r", b"\n", b"<", b"@", b"=?x?q?"]) * 9
    return bytes(data)


def test_what_no_table_takes_is_not_read():
    answer = read_answer(
        b"Subject: =?utf-7?q?+2AA-?= \0\nContent-Type: message/delivery-status\n\n\n"
        b"Final-Recipient: rfc822; u+00+40b.example\nAction: failed\n"
    )

    assert answer.message.headers.first("subject") == "?"
    assert [one.address for one in answer.verdicts] == ["u?@b.example"]


@given(st.binary(max_size=3_000))
def test_any_bytes_are_read(raw):
    assert read_answer(raw).verdicts


@given(st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=60)), max_size=60))
def test_any_lines_of_bounces_are_read(lines):
    assert read_answer(b"\n".join(lines)).verdicts
