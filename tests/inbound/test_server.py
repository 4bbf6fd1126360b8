"""What the inbound server takes, and that 250 means stored."""

import socket
from contextlib import closing

import psycopg
import pytest

from app.config import Settings
from app.errors import ConfigurationInvalid, DependencyUnavailable
from app.inbound.rate import PeerRate
from app.inbound.server import InboundServer
from app.mail.verp import AddressUse
from app.queueing.depth import DepthGauge
from tests.factories import make_app, make_email

RAW = b"From: a@b.example\r\nSubject: back\r\n\r\nHello\r\n"


@pytest.fixture
def email_id(session):
    return make_email(session, make_app(session).id, status="sent")


@pytest.mark.parametrize("use", AddressUse)
def test_a_mail_to_a_coded_address_is_stored_with_its_job(
    session, coded, email_id, hand_over, configured, use
):
    address = coded.address(use, email_id)
    code, _ = hand_over(RAW, address)

    assert code == 250
    stored = session.execute(
        "SELECT m.email_id, m.recipient, m.return_path, m.status, c.raw, m.app_id = e.app_id "
        "FROM inbound_messages m JOIN inbox_message_content c ON c.ref_id = m.id "
        "JOIN emails e ON e.id = m.email_id"
    ).fetchall()
    assert stored == [(email_id, address, "", "received", b"Return-Path: <>\r\n" + RAW, True)]
    with closing(DepthGauge(configured.rabbitmq_url)) as depths:
        assert depths.ready("inbound") == 1


def test_the_address_of_feedback_loops_is_taken(session, hand_over):
    assert hand_over(RAW, "FBL@reports.example")[0] == 250

    stored = session.execute("SELECT email_id, app_id, kind, recipient FROM inbound_messages")
    assert stored.fetchall() == [(None, None, "complaint", "fbl@reports.example")]


def test_two_addresses_in_one_transaction_are_two_mails(session, coded, hand_over):
    app_id = make_app(session).id
    ids = [make_email(session, app_id, status="sent") for _ in range(2)]
    code, _ = hand_over(RAW, *[coded.address(AddressUse.BOUNCE, one) for one in ids])

    assert code == 250
    rows = session.execute("SELECT email_id FROM inbound_messages").fetchall()
    assert {row[0] for row in rows} == set(ids)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("somebody@elsewhere.example", b"relays no mail"),
        ("postmaster@in.example", b"No such address"),
        (f"b+{'a' * 26}.{'b' * 16}@in.example", b"No such address"),
        ("b+x@in.example", b"No such address"),
        ("other@reports.example", b"relays no mail"),
    ],
)
def test_every_other_address_is_refused(session, hand_over, address, says):
    code, text = hand_over(RAW, address)

    assert code == 550
    assert says in text
    assert session.execute("SELECT FROM inbound_messages").fetchall() == []


def test_a_forged_token_is_refused(coded, email_id, hand_over):
    address = coded.address(AddressUse.BOUNCE, email_id)
    forged = address.replace(".", ".a", 1).replace("@", "", 1)[: len(address) - 11] + "@in.example"

    assert hand_over(RAW, forged)[0] == 550


def test_the_size_cap_is_announced_and_held(session, client, coded, email_id, hand_over):
    assert client.esmtp_features["size"] == "65536"
    address = coded.address(AddressUse.BOUNCE, email_id)

    assert hand_over(RAW + b"x" * 900 + (b"\r\n" + b"x" * 900) * 90, address)[0] == 552
    assert session.execute("SELECT FROM inbound_messages").fetchall() == []


def test_a_line_without_an_end_is_hung_up_on(server, coded, email_id):
    address = coded.address(AddressUse.BOUNCE, email_id)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as peer:
        peer.sendall(b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<%b>\r\nDATA\r\n" % address.encode())
        with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the kernel likes
            peer.sendall(b"x" * 64_000_000)


def test_a_peer_that_is_too_fast_is_told_to_come_later(client, server):
    del server
    codes = []
    for _ in range(60):
        codes.append(client.mail("")[0])
        client.rset()

    assert codes[:40] == [250] * 40
    assert codes[-1] == 451


def test_a_bucket_fills_again_with_time():
    rate = PeerRate(60)
    assert [rate.takes("a", 0.0) for _ in range(61)] == [True] * 60 + [False]
    assert rate.takes("b", 0.0)
    assert rate.takes("a", 1.0)
    assert not rate.takes("a", 1.0)


def test_a_session_that_postgresql_ended_is_opened_anew(
    session, database_url, coded, email_id, hand_over
):
    address = coded.address(AddressUse.BOUNCE, email_id)
    assert hand_over(RAW, address)[0] == 250
    cut(session, database_url)

    assert hand_over(RAW, address)[0] == 250
    assert session.execute("SELECT count(*) FROM inbound_messages").fetchone() == (2,)


def cut(session, database_url):
    """End every other session of this test's database, as a restart of PostgreSQL does."""
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            (session.info.dbname, session.info.backend_pid),
        )


def test_without_a_database_the_sender_is_told_to_come_later(
    monkeypatch, listening, coded, email_id
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("DATABASE_URL", f"postgresql://x:x@127.0.0.1:{port}/x")
    away = Settings(_env_file=None)
    assert away.inbound_domain == listening.inbound_domain
    with (
        InboundServer(away) as server,
        closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)) as peer,
        peer.makefile("rb") as replies,
    ):
        address = coded.address(AddressUse.BOUNCE, email_id)
        peer.sendall(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<%b>\r\nDATA\r\n" % address.encode())
        assert [replies.readline()[:3] for _ in range(5)][-1] == b"354"
        peer.sendall(RAW + b".\r\n")
        assert replies.readline().startswith(b"451 4.3.0")


def test_without_rabbitmq_the_mail_is_taken_all_the_same(
    monkeypatch, session, listening, coded, email_id
):
    del listening
    monkeypatch.setenv("RABBITMQ_URL", "amqp://x:x@127.0.0.1:1/x")
    with (
        InboundServer(Settings(_env_file=None)) as server,
        closing(socket.create_connection(("127.0.0.1", server.port), timeout=60)) as peer,
        peer.makefile("rb") as replies,
    ):
        address = coded.address(AddressUse.BOUNCE, email_id)
        peer.sendall(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<%b>\r\nDATA\r\n" % address.encode())
        assert [replies.readline()[:3] for _ in range(5)][-1] == b"354"
        peer.sendall(RAW + b".\r\n")
        assert replies.readline().startswith(b"250")
    assert session.execute("SELECT status FROM inbound_messages").fetchall() == [("received",)]


def test_a_taken_port_is_named(monkeypatch, server, listening):
    del listening
    monkeypatch.setenv("MAILQUEUE_INBOUND_PORT", str(server.port))
    with pytest.raises(DependencyUnavailable, match=str(server.port)):
        InboundServer(Settings(_env_file=None)).start()


def test_without_a_domain_nothing_is_served(configured):
    with pytest.raises(ConfigurationInvalid, match="INBOUND_DOMAIN"):
        InboundServer(configured)
