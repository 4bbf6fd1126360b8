"""Servers that hang, trickle or stop reading, and submits that are cut short: nobody waits for ever."""

import time

import pytest

from app.smtp.connection import Stage
from app.smtp.journal import read
from app.smtp.transaction import Verdict
from tests.smtp.peers import BODY, QUICK, behaved, mail, wait_for_the_end


def verdicts(attempts):
    return [attempt.verdict for attempt in attempts]


def test_half_a_reply_is_waited_for_no_longer_than_the_deadline(make_scripted, make_group, journal):
    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.body()
        peer.say("250-this goes on\n25")
        wait_for_the_end(peer)

    server = make_scripted(script)
    attempts = make_group(server.port, connections=1).submit([mail(1)], journal)
    assert verdicts(attempts) == [Verdict.UNKNOWN]
    assert "no answer within 0.5 s" in attempts[0].text


def test_one_byte_at_a_time_does_not_move_the_deadline(make_scripted, make_group, journal):
    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.body()
        for letter in "250 " + "x" * 200:
            peer.say(letter)
            time.sleep(0.05)

    server = make_scripted(script)
    started = time.monotonic()
    attempts = make_group(server.port, connections=1).submit([mail(1)], journal)
    assert verdicts(attempts) == [Verdict.UNKNOWN]
    assert time.monotonic() - started < 2


def test_one_byte_at_a_time_in_the_greeting_does_not_hold_the_worker(
    make_scripted, make_group, journal
):
    def script(peer):
        for letter in "220 " + "x" * 200:
            peer.say(letter)
            time.sleep(0.05)

    server = make_scripted(script)
    started = time.monotonic()
    attempts = make_group(server.port).submit([mail(1)], journal)
    assert verdicts(attempts) == [Verdict.UNTRIED]
    assert attempts[0].stage is Stage.CONNECT
    assert time.monotonic() - started < 2


def test_a_server_that_stops_reading_hits_the_deadline_before_the_dot(
    make_scripted, make_group, journal
):
    def script(peer):
        peer.read_slowly()
        peer.greet("PIPELINING")
        peer.take_envelope()
        time.sleep(1.5)

    server = make_scripted(script, behaved)
    body = BODY + (b"x" * 70 + b"\r\n") * 300_000
    started = time.monotonic()
    attempts = make_group(server.port, connections=1).submit([mail(1, body=body)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED]
    assert server.connections == 2
    assert time.monotonic() - started < 3


def test_deadlines_are_production_sized_by_default():
    assert type(QUICK)().dot_s == 600


class Struck(Exception):
    """What a time limit raises inside a worker thread."""


def test_replies_owed_to_an_interrupted_submit_are_never_taken_for_the_next(
    make_scripted, make_group, journal
):
    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.body()
        time.sleep(0.3)
        peer.say("550 5.7.1 meant for the interrupted mail\n")
        wait_for_the_end(peer)

    server = make_scripted(script, behaved)
    group = make_group(server.port, connections=1)
    waited, wait = [], group.wait

    def strike(seconds):
        waited.append(wait(seconds))
        if read(journal.path).started:
            raise Struck
        return waited[-1]

    group.wait = strike
    with pytest.raises(Struck):
        group.submit([mail(1)], journal)
    group.wait = wait
    assert verdicts(group.submit([mail(2)], journal)) == [Verdict.ACCEPTED]
    assert server.connections == 2
