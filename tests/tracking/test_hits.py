import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigurationInvalid
from app.proxies import TrustedProxies
from app.queueing.payloads import Hit
from tracking.hits import Kind, Visit, line, visit

PROXIES = TrustedProxies("10.0.0.0/8, 2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "192.0.2.66, 198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db9::1]:4711", "2001:db9::1"),
        ("2001:db8::5", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "unknown, 10.0.0.2", "10.0.0.2"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_client_is_the_rightmost_address_no_trusted_proxy_has(peer, forwarded, client):
    assert PROXIES.client_ip(peer, forwarded) == client


def test_without_trusted_proxies_nobody_may_say_who_they_are():
    assert TrustedProxies("").client_ip("10.0.0.1", "198.51.100.1") == "10.0.0.1"


def test_a_setting_that_is_no_network_is_refused_by_name():
    with pytest.raises(ConfigurationInvalid, match="not-a-network") as caught:
        TrustedProxies("10.0.0.0/8,not-a-network")
    assert caught.value.field == "trusted_proxies"


@given(peer=st.text(max_size=60), forwarded=st.text(max_size=200))
def test_any_header_gives_an_answer(peer, forwarded):
    assert isinstance(PROXIES.client_ip(peer, forwarded), str)


# A WSGI server hands over header bytes as latin-1.
latin1 = st.text(st.characters(max_codepoint=255), max_size=1_000)


@given(method=latin1, ip=latin1, user_agent=latin1, purpose=latin1, forwarded=latin1)
def test_any_request_becomes_a_hit_the_recorder_takes(method, ip, user_agent, purpose, forwarded):
    environ = {
        "REQUEST_METHOD": method,
        "REMOTE_ADDR": ip,
        "HTTP_USER_AGENT": user_agent,
        "HTTP_SEC_PURPOSE": purpose,
        "HTTP_X_FORWARDED_FOR": forwarded,
    }
    email_id = uuid.uuid4()
    written = line(Kind.OPEN, email_id, visit(environ, PROXIES, 1_700_000_000_000))
    hit = Hit.model_validate_json(written)
    assert written.count(b"\n") == 1
    assert (hit.email_id, hit.kind) == (email_id, "open")
    assert hit.user_agent.isprintable()


def test_every_hit_has_an_id_of_its_own():
    seen = Visit(method="GET", ip="", user_agent="", purpose="", at_ms=0)
    lines = [line(Kind.CLICK, uuid.uuid4(), seen, link=1, url="https://a.example/") for _ in "ab"]
    assert len({Hit.model_validate_json(each).event_id for each in lines}) == 2
