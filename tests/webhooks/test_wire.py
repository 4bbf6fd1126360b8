"""Where a webhook may lead, and what its server may do to us (TRUST.md)."""

import socket
import threading

import pytest

from app.errors import DependencyUnavailable, InputInvalid
from app.webhooks import wire
from app.webhooks.destination import Destination, Reach, address_of, parsed, require_allowed
from tests.webhooks.conftest import REACH
from tests.webhooks.receiver import listening

PUBLIC = Reach()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "0.0.0.0",
    ],
)
def test_private_and_special_addresses_are_refused(host: str) -> None:
    with pytest.raises(InputInvalid):
        address_of(parsed(f"https://{host}/"), PUBLIC)


def test_a_refused_address_is_never_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        reply = wire.post(url, {}, b"{}", PUBLIC)
        with pytest.raises(TimeoutError):
            server.accept()
    assert (reply.code, reply.is_endpoints_fault) == (0, True)
    assert "not on the public internet" in (reply.error or "")


@pytest.mark.parametrize("url", ["http://1.1.1.1/", "https://1.1.1.1:22/", "https://1.1.1.1:8443/"])
def test_public_addresses_are_spoken_to_over_https_on_443_only(url: str) -> None:
    with pytest.raises(InputInvalid):
        address_of(parsed(url), REACH)
    with pytest.raises(InputInvalid):
        require_allowed(url, PUBLIC)


def test_plain_http_to_the_public_is_the_operators_choice() -> None:
    assert require_allowed("http://1.1.1.1/a?b=c", Reach(plain_http=True)).target == "/a?b=c"


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://h.example/", "h.example"),
        ("https://h.example:8443/", "h.example:8443"),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]"),
    ],
)
def test_the_host_header_names_the_host(url: str, authority: str) -> None:
    found: Destination = parsed(url)
    assert found.authority == authority


def test_a_server_that_drips_is_cut_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "DEADLINE_S", 1.0)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_drip, args=(server, over))
        thread.start()
        reply = wire.post(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, b"{}", REACH)
        over.set()
        thread.join()
    assert reply.code == 0
    assert 900 <= reply.duration_ms < 8_000


def test_a_page_is_fetched_whole_or_not_at_all() -> None:
    with listening() as server:
        server.answer = b"x" * 10_000
        assert wire.get(server.url, REACH) == server.answer
        server.status, server.location = 302, "http://127.0.0.1/"
        with pytest.raises(DependencyUnavailable, match="302"):
            wire.get(server.url, REACH)
    with pytest.raises(DependencyUnavailable):
        wire.get(server.url, REACH)
    with pytest.raises(InputInvalid):
        wire.get("https://127.0.0.1/", PUBLIC)


@pytest.mark.parametrize(("announced", "sent"), [(100, 5), (70_000, 70_000)])
def test_a_page_that_is_cut_off_is_none(announced: int, sent: int) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % announced + b"x" * sent
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_say, args=(server, page))
        thread.start()
        with pytest.raises(DependencyUnavailable, match="cut off"):
            wire.get(f"http://127.0.0.1:{server.getsockname()[1]}/", REACH)
        thread.join()


def test_what_is_no_http_is_told_without_a_byte_no_table_takes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_say, args=(server, _ALERT))
        thread.start()
        reply = wire.post(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, b"{}", REACH)
        thread.join()
    assert reply.code == 0
    assert "BadStatusLine" in (reply.error or "")
    assert "\0" not in (reply.error or "")


# What a TLS server answers that was spoken to in plain text.
_ALERT = b"\x15\x03\x01\x00\x02\x02\x46\r\n"


def _say(server: socket.socket, answer: bytes) -> None:
    peer, _ = server.accept()
    with peer:
        peer.recv(65_536)
        peer.sendall(answer)


def _drip(server: socket.socket, over: threading.Event) -> None:
    """Answer with a header that never ends, a byte at a time, until hung up on."""
    peer, _ = server.accept()
    with peer:
        try:
            peer.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not over.wait(0.1):
                peer.sendall(b"x")
        except OSError:
            return
