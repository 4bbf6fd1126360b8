"""The way to a connection: TLS that refuses, logins, addresses that are not dialled, `check`."""

import pytest

from app.errors import InputInvalid
from app.smtp.connection import Security, ServerUnusable, Stage
from app.smtp.opening import capabilities, open_connection
from app.smtp.probe import check
from app.smtp.transaction import Verdict
from tests.smtp.peers import mail, server_at

LOGIN = ("alice", "correct horse")


def failure(port, **fields):
    with pytest.raises(ServerUnusable) as caught:
        open_connection(server_at(port, **fields))
    return caught.value


def open_and_close(port, **fields):
    connection = open_connection(server_at(port, **fields))
    connection.close()
    return connection


@pytest.mark.parametrize("auth", ["PLAIN", "LOGIN", "CRAM-MD5 LOGIN"])
def test_login_works_over_starttls(make_inbox, certificates, auth):
    inbox = make_inbox(tls=certificates.context("127.0.0.1"), login=LOGIN, auth=auth)
    connection = open_and_close(
        inbox.smtp_port,
        security=Security.STARTTLS,
        ca_file=certificates.ca_file,
        username=LOGIN[0],
        password=LOGIN[1],
    )
    assert connection.tls


@pytest.mark.parametrize("auth", ["PLAIN", "LOGIN"])
def test_a_wrong_password_is_said_in_words_and_tried_once(make_inbox, make_group, journal, auth):
    inbox = make_inbox(login=LOGIN, auth=auth)
    group = make_group(inbox.smtp_port, username="alice", password="wrong")
    attempts = group.submit([mail(n) for n in range(10)], journal)
    assert {attempt.verdict for attempt in attempts} == {Verdict.UNTRIED}
    assert attempts[0].stage is Stage.AUTH
    assert attempts[0].text.startswith("Wrong user name or password: 535 5.7.8")


def test_a_login_nobody_offers_is_refused(make_inbox):
    inbox = make_inbox(login=LOGIN, auth="CRAM-MD5")
    error = failure(inbox.smtp_port, username="alice", password="x")
    assert error.what == "The server offers CRAM-MD5; PLAIN or LOGIN is needed."


def test_a_password_is_never_sent_in_clear_beyond_this_machine(make_inbox, monkeypatch):
    inbox = make_inbox(login=LOGIN)
    monkeypatch.setattr("app.smtp.opening.is_loopback", lambda _: False)
    error = failure(inbox.smtp_port, username=LOGIN[0], password=LOGIN[1])
    assert error.stage is Stage.AUTH
    assert "not encrypted" in error.what


def test_starttls_is_refused_when_it_is_not_offered(make_inbox):
    error = failure(make_inbox().smtp_port, security=Security.STARTTLS)
    assert (error.stage, error.what) == (Stage.TLS, "The server does not offer STARTTLS.")


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
@pytest.mark.parametrize(
    ("name", "days", "trusted", "words"),
    [
        ("mail.example.com", 1, True, "is for another name than 127.0.0.1"),
        ("127.0.0.1", -1, True, "has expired"),
        ("127.0.0.1", 1, False, "is not trusted"),
    ],
)
def test_a_bad_certificate_is_refused(
    make_inbox, certificates, security, name, days, trusted, words
):
    context = certificates.context(name, days)
    inbox = make_inbox(tls=context, implicit_tls=security is Security.TLS)
    ca_file = certificates.ca_file if trusted else None
    error = failure(inbox.smtp_port, security=security, ca_file=ca_file)
    assert error.stage is Stage.TLS
    assert words in error.what


def test_the_name_is_checked_and_sent_for_a_host_name(make_inbox, certificates):
    inbox = make_inbox(tls=certificates.context("localhost"))
    connection = open_and_close(
        inbox.smtp_port, host="localhost", security=Security.STARTTLS, ca_file=certificates.ca_file,
        allowed_networks=("127.0.0.0/8", "::1/128"),
    )  # fmt: skip
    assert connection.host == "localhost[127.0.0.1]"


def test_bytes_slipped_in_before_the_handshake_are_an_attack(make_scripted):
    def script(peer):
        peer.greet("STARTTLS")
        peer.line()
        peer.say("220 go ahead\n250 injected\n")

    error = failure(make_scripted(script).port, security=Security.STARTTLS)
    assert error.what == "Plain bytes came before the TLS handshake."


def test_tls_on_a_plain_port_says_what_to_do(make_inbox):
    error = failure(make_inbox().smtp_port, security=Security.TLS)
    assert "security starttls may be right" in error.what


@pytest.mark.parametrize(
    ("banner", "words"),
    [
        ("554 no service\n", "The server does not take connections: 554 no service"),
        ("SSH-2.0-OpenSSH_9.2\n", "The server does not speak SMTP"),
        ("", "The server closed the connection."),
    ],
)
def test_a_bad_greeting_is_told_in_words(make_scripted, banner, words):
    assert words in failure(make_scripted(lambda peer: peer.say(banner)).port).what


def test_a_server_without_ehlo_is_greeted_with_helo(make_scripted):
    def script(peer):
        peer.say("220 old\n")
        peer.line()
        peer.say("502 what?\n")
        assert peer.line().startswith(b"HELO ")
        peer.say("250 hello\n")

    assert not open_and_close(make_scripted(script).port).offered.pipelining


def test_a_private_address_is_not_dialled(make_inbox):
    error = failure(make_inbox().smtp_port, allowed_networks=())
    assert (error.stage, error.what) == (
        Stage.CONNECT,
        "The host 127.0.0.1 is not on the public internet (127.0.0.1).",
    )


def test_capabilities_are_read_from_the_reply_to_ehlo():
    offered = capabilities(
        b"mx.example.com\nPIPELINING\nSIZE 1000\nauth=PLAIN login\n8BITMIME\nSMTPUTF8\nDSN\nX-ODD"
    )
    assert offered.pipelining
    assert offered.smtputf8
    assert offered.eight_bit
    assert offered.dsn
    assert not offered.starttls
    assert offered.size == 1000
    assert offered.auth == {"PLAIN", "LOGIN"}


def test_check_reports_every_step_with_its_time(make_inbox, certificates):
    inbox = make_inbox(tls=certificates.context("127.0.0.1"), login=LOGIN)
    server = server_at(
        inbox.smtp_port, security=Security.STARTTLS, ca_file=certificates.ca_file,
        username=LOGIN[0], password=LOGIN[1],
    )  # fmt: skip
    steps = check(server, "sender@example.com")
    assert [step.name for step in steps] == [
        "resolve", "connect", "banner", "ehlo", "tls", "auth", "mail-from",
    ]  # fmt: skip
    assert all(step.ok and step.ms >= 0 for step in steps)
    assert inbox.messages() == []


def test_check_stops_at_the_first_step_that_fails(make_inbox):
    server = server_at(make_inbox(login=LOGIN).smtp_port, username="alice", password="wrong")
    last = check(server)[-1]
    assert (last.name, last.ok) == ("auth", False)
    assert last.text.startswith("Wrong user name or password: 535")


def test_check_refuses_a_sender_that_holds_a_second_command(make_inbox):
    with pytest.raises(InputInvalid):
        check(server_at(make_inbox().smtp_port), "a@b>\r\nRCPT TO:<c@d")


def test_a_secret_is_not_printed():
    assert "hunter2" not in repr(server_at(25, password="hunter2"))
