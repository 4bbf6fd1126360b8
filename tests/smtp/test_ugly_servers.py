"""A group against servers that break the rules: what is certain stays certain, nothing hangs."""

import contextlib
import resource
import time

import pytest

from app.smtp.connection import Stage
from app.smtp.journal import read
from app.smtp.transaction import Verdict
from tests.smtp.peers import BODY, behaved, mail, wait_for_the_end


def verdicts(attempts):
    return [attempt.verdict for attempt in attempts]


def test_a_reply_to_the_dot_counts_even_when_the_server_closes_behind_it(
    make_scripted, make_group, journal
):
    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.body()
        peer.say("250 2.0.0 kept\n")  # and not a word to MAIL, RCPT, DATA of the next mail

    server = make_scripted(script, behaved)
    attempts = make_group(server.port, connections=1).submit([mail(1), mail(2)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED, Verdict.ACCEPTED]
    assert attempts[0].text == "2.0.0 kept"
    assert server.connections == 2


def test_closing_after_the_dot_is_unknown_and_the_next_mail_goes_on(
    make_scripted, make_group, journal
):
    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.body()

    server = make_scripted(script, behaved)
    attempts = make_group(server.port, connections=1).submit([mail(1), mail(2)], journal)
    assert verdicts(attempts) == [Verdict.UNKNOWN, Verdict.ACCEPTED]
    assert attempts[0].stage is Stage.DOT
    assert "final dot had been sent" in attempts[0].text


def test_garbage_after_the_dot_is_unknown(make_scripted, make_group, journal):
    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.body()
        peer.say("\x01\x02 what?\n")

    server = make_scripted(script)
    attempts = make_group(server.port, connections=1).submit([mail(1)], journal)
    assert verdicts(attempts) == [Verdict.UNKNOWN]
    assert "not an SMTP reply: ?? what?" in attempts[0].text


def test_garbage_before_the_dot_leaves_mails_untried(make_scripted, make_group, journal):
    def script(peer):
        peer.greet("PIPELINING")
        peer.line()
        peer.say("hello there\n")

    server = make_scripted(script)
    attempts = make_group(server.port, connections=1).submit([mail(1), mail(2)], journal)
    assert verdicts(attempts) == [Verdict.UNTRIED] * 2
    assert server.connections == 2
    assert read(journal.path).started == frozenset()


def test_an_early_refusal_of_the_body_is_taken_as_the_answer(make_scripted, make_group, journal):
    def script(peer):
        peer.read_slowly()
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.sock.recv(1_000)
        peer.say("552 5.3.4 too big\n")
        wait_for_the_end(peer)

    server = make_scripted(script, behaved)
    body = BODY + (b"x" * 70 + b"\r\n") * 300_000
    attempts = make_group(server.port, connections=1).submit([mail(1, body=body), mail(2)], journal)
    assert verdicts(attempts) == [Verdict.REFUSED, Verdict.ACCEPTED]
    assert (attempts[0].code, attempts[0].stage) == (552, Stage.DOT)


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
def test_421_in_the_middle_moves_the_mail_to_a_fresh_connection(
    make_scripted, make_group, journal, stage
):
    answers = ["250 Ok\n", "250 Ok\n", "354 go\n"]
    place = [Stage.MAIL, Stage.RCPT, Stage.DATA].index(stage)

    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope("".join(answers[:place]) + "421 4.3.2 closing\n")

    server = make_scripted(script, behaved)
    attempts = make_group(server.port, connections=1).submit([mail(1), mail(2)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED] * 2


def test_421_to_the_dot_defers_that_mail_only(make_scripted, make_group, journal):
    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.body()
        peer.say("421 4.3.2 closing\n")

    server = make_scripted(script, behaved)
    attempts = make_group(server.port, connections=1).submit([mail(1), mail(2)], journal)
    assert verdicts(attempts) == [Verdict.DEFERRED, Verdict.ACCEPTED]


def test_421_on_a_kept_connection_is_retried_on_a_fresh_one(make_scripted, make_group, journal):
    def script(peer):
        peer.greet()
        peer.line()
        peer.say("250 Ok\n")
        peer.line()
        peer.say("250 Ok\n")
        peer.line()
        peer.say("354 go\n")
        peer.body()
        peer.say("250 Ok\n")
        peer.line()
        peer.say("421 4.4.2 timeout exceeded\n")

    server = make_scripted(script, behaved)
    group = make_group(server.port, connections=1)
    assert verdicts(group.submit([mail(1)], journal)) == [Verdict.ACCEPTED]
    assert verdicts(group.submit([mail(2)], journal)) == [Verdict.ACCEPTED]


def test_354_to_a_refused_recipient_is_ended_by_a_dot_alone(make_scripted, make_group, journal):
    bodies = []

    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope("250 Ok\n550 5.1.1 nobody\n354 go\n")
        bodies.append(peer.line())
        peer.say("554 5.5.1 no valid recipients\n")
        peer.take_envelope()
        bodies.append(peer.body())
        peer.say("250 Ok\n")
        wait_for_the_end(peer)

    server = make_scripted(script)
    attempts = make_group(server.port, connections=1).submit([mail(1), mail(2)], journal)
    assert verdicts(attempts) == [Verdict.REFUSED, Verdict.ACCEPTED]
    assert bodies == [b".", BODY.removesuffix(b"\r\n")]


def test_many_replies_in_one_segment_and_split_lines_are_put_together(
    make_scripted, make_group, journal
):
    def script(peer):
        peer.greet("PIPELINING")
        for number in range(3):
            peer.take_envelope("")
            for piece in ("25", "0-first\n250 sec", "ond\n250 O", "k\n354 g", "o\n"):
                peer.say(piece)
                time.sleep(0.005)
            peer.body()
            peer.say(f"250 2.0.0 mail {number}\n")
        wait_for_the_end(peer)

    server = make_scripted(script)
    attempts = make_group(server.port, connections=1).submit([mail(n) for n in range(3)], journal)
    assert [attempt.text for attempt in attempts] == [f"2.0.0 mail {n}" for n in range(3)]
    assert attempts[0].dialogue[0][1] == "250 first\nsecond"


def test_a_server_that_closes_after_each_mail_still_gets_all(make_scripted, make_group, journal):
    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        peer.body()
        peer.say("250 Ok\n")

    server = make_scripted(script)
    attempts = make_group(server.port, connections=2).submit([mail(n) for n in range(10)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED] * 10
    assert server.connections >= 10


def test_a_limit_on_connections_leaves_those_that_were_granted(make_scripted, make_group, journal):
    def refusing(peer):
        peer.say("421 4.7.0 too many connections\n")

    server = make_scripted(behaved, refusing)
    group = make_group(server.port, connections=4)
    attempts = group.submit([mail(n) for n in range(50)], journal)
    group.submit([mail(n) for n in range(50)], journal)
    assert verdicts(attempts) == [Verdict.ACCEPTED] * 50
    assert server.connections == 4


def test_nobody_listening_leaves_every_mail_untried(make_scripted, make_group, journal):
    server = make_scripted(behaved)
    server.close()
    attempts = make_group(server.port).submit([mail(1), mail(2)], journal)
    assert verdicts(attempts) == [Verdict.UNTRIED] * 2
    assert f"Nothing listens on 127.0.0.1 port {server.port}." in attempts[0].text


def test_a_full_disk_stops_sending_before_a_dot_leaves(make_scripted, make_group, journal):
    bodies = []

    def script(peer):
        peer.greet("PIPELINING")
        peer.take_envelope()
        bodies.append(peer.body())

    server = make_scripted(script)
    with files_limited_to(20):
        attempts = make_group(server.port).submit([mail(1), mail(2), mail(3)], journal)
    assert verdicts(attempts) == [Verdict.UNTRIED] * 3
    assert "The attempt journal" in attempts[0].text
    assert bodies == []
    assert journal.path.read_bytes() == b""


@contextlib.contextmanager
def files_limited_to(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
