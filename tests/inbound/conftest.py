"""The inbound server in this process, on real PostgreSQL and RabbitMQ."""

import smtplib
from collections.abc import Callable, Iterator

import pytest

from app import config
from app.config import Settings
from app.inbound.server import InboundServer
from app.mail import verp
from app.mail.verp import CodedDomain

DOMAIN = "in.example"


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch, configured: Settings) -> Iterator[Settings]:
    del configured
    limits = {"MAX_BYTES": "65536", "PER_MINUTE": "40", "DOMAIN": DOMAIN, "PORT": "0"}
    limits["COMPLAINTS"] = "fbl@reports.example"
    for name, value in limits.items():
        monkeypatch.setenv(f"MAILQUEUE_INBOUND_{name}", value)
    config.settings.cache_clear()
    yield config.settings()
    config.settings.cache_clear()


@pytest.fixture
def coded(listening: Settings) -> CodedDomain:
    found = verp.coded_domain(DOMAIN, listening.tracking_keys.get_secret_value())
    assert found is not None
    return found


@pytest.fixture
def server(listening: Settings) -> Iterator[InboundServer]:
    with InboundServer(listening) as running:
        yield running


@pytest.fixture
def client(server: InboundServer) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as connected:
        connected.ehlo("peer.example")
        yield connected


@pytest.fixture
def hand_over(client: smtplib.SMTP) -> Callable[..., tuple[int, bytes]]:
    """Hands over one mail with the null return path; returns the reply to it."""

    def send(raw: bytes, *recipients: str) -> tuple[int, bytes]:
        client.mail("")
        for recipient in recipients:
            code, text = client.rcpt(recipient)
            if code != 250:
                client.rset()
                return code, text
        return client.data(raw)

    return send
