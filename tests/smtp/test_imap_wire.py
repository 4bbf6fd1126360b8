"""What a mailbox's server may do to us: nothing that lasts, nothing that fills the memory."""

import contextlib
import socket
import time
import tracemalloc

import pytest

from app.imap.opening import Opening
from app.imap.wire import Wire
from app.smtp.connection import Security, ServerUnusable
from tests.smtp.peers import Peer, server_at

GREETING = "* OK [CAPABILITY IMAP4rev1 STARTTLS] hi\n"


def greet(peer: Peer) -> None:
    peer.say(GREETING)
    answer(peer, "* CAPABILITY IMAP4rev1 STARTTLS\n")


def answer(peer: Peer, untagged: str) -> None:
    tag = peer.line().split()[0].decode()
    peer.say(f"{untagged}{tag} OK done\n")


def wire_to(port: int, limit_s: float = 60.0) -> Wire:
    sock = socket.create_connection(("127.0.0.1", port))
    return Wire(sock, "127.0.0.1", time.monotonic() + limit_s)


def test_a_server_that_drips_is_hung_up_on(make_scripted):
    def drip(peer: Peer) -> None:
        while True:
            peer.say("x")
            time.sleep(0.05)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        wire_to(make_scripted(drip).port, limit_s=1.0)
    assert time.monotonic() - began < 30


def test_a_literal_larger_than_allowed_is_not_read(make_scripted):
    def announce(peer: Peer) -> None:
        greet(peer)
        peer.line()
        peer.say("* 1 FETCH (BODY[] {999999999999}\n")
        peer.line()

    wire = wire_to(make_scripted(announce).port)
    wire.allow(1_000)
    with pytest.raises(Wire.abort, match="announced"):
        wire.xatom("NOOP")
    wire.shutdown()


def test_a_line_without_an_end_is_not_kept(make_scripted):
    def endless(peer: Peer) -> None:
        greet(peer)
        while True:
            peer.sock.sendall(b"x" * 65_536)

    wire = wire_to(make_scripted(endless).port)
    with pytest.raises(Wire.abort, match="without an end"):
        wire.xatom("NOOP")
    wire.shutdown()


def test_chatter_without_an_answer_is_cut_off(make_scripted):
    def chatter(peer: Peer) -> None:
        greet(peer)
        while True:
            peer.say("* OK still here\n" * 4_000)

    wire = wire_to(make_scripted(chatter).port)
    with pytest.raises(Wire.abort, match="more than was asked for"):
        wire.xatom("NOOP")
    wire.shutdown()


def failure(port: int) -> ServerUnusable:
    server = server_at(port, security=Security.STARTTLS, username="u", password="p")
    opening = Opening(server, "INBOX", 60.0)
    with contextlib.closing(opening), pytest.raises(ServerUnusable) as raised:
        run(opening)
    return raised.value


def run(opening: Opening) -> None:
    for _, step in opening.steps():
        step()


def test_bytes_before_the_handshake_are_refused(make_scripted):
    def inject(peer: Peer) -> None:
        greet(peer)
        answer_and_more(peer)

    def answer_and_more(peer: Peer) -> None:
        tag = peer.line().split()[0].decode()
        peer.say(f"{tag} OK go\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\n")
        peer.line()

    assert "before the TLS handshake" in failure(make_scripted(inject).port).what


def test_without_starttls_no_password_is_sent(make_scripted):
    heard: list[bytes] = []

    def plain(peer: Peer) -> None:
        peer.say("* OK hi\n")
        answer(peer, "* CAPABILITY IMAP4rev1 AUTH=PLAIN\n")
        heard.append(peer.line())

    assert "does not offer STARTTLS" in failure(make_scripted(plain).port).what
    assert not any(b"LOGIN" in line or b"AUTH" in line for line in heard)


@pytest.mark.parametrize("said", ["* PREAUTH welcome\n", "* BYE no\n", "220 smtp.example ESMTP\n"])
def test_another_greeting_is_refused(make_scripted, said):
    def other(peer: Peer) -> None:
        peer.say(said)
        answer(peer, "* CAPABILITY IMAP4rev1\n")

    assert "did not greet" in failure(make_scripted(other).port).what


def opened(port: int) -> Opening:
    """Open the folder of a server that was asked to let us in."""
    opening = Opening(server_at(port, security=Security.STARTTLS), "INBOX", 60.0)
    for step in (opening.resolve, opening.connect, opening.greet, opening.login, opening.examine):
        step()
    return opening


def let_in(peer: Peer) -> None:
    greet(peer)
    answer(peer, "* CAPABILITY IMAP4rev1\n")  # asked again before the login
    answer(peer, "")
    answer(peer, "* 1 EXISTS\n* OK [UIDVALIDITY 1]\n* OK [UIDNEXT 2]\n")


@pytest.mark.parametrize(
    "nonsense",
    ["(" * 5_000, '(UID 1 INTERNALDATE "01-Jan-2000 00:00:00 +99999999999999")', "(UID x)"],
)
def test_nonsense_is_a_mailbox_that_cannot_be_read(make_scripted, nonsense):
    def babble(peer: Peer) -> None:
        let_in(peer)
        answer(peer, f"* 1 FETCH {nonsense}\n")

    with (
        contextlib.closing(opened(make_scripted(babble).port)) as opening,
        pytest.raises(ServerUnusable, match="could not be read"),
    ):
        opening.fetch(1, 1_000)


def test_what_nobody_asked_for_does_not_pile_up(make_scripted):
    fetches, size = 20, 2_000_000

    def chatter(peer: Peer) -> None:
        let_in(peer)
        for _ in range(fetches):
            answer(peer, f"* CHATTER {'x' * 999_980}\n* CHATTER {'x' * 999_980}\n")

    with contextlib.closing(opened(make_scripted(chatter).port)) as opening:
        tracemalloc.start()
        for _ in range(fetches):
            opening.fetch(1, 1_000)
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    assert kept < 3 * size
