"""Which addresses may be connected to."""

import ipaddress

import pytest

from app.errors import InputInvalid
from app.smtp.resolve import is_reachable, resolve


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "255.255.255.255", "224.0.0.1", "239.1.1.1", "192.0.2.1", "198.18.0.1",
        "::", "::1", "fe80::1", "fc00::1", "ff02::1", "ff0e::1", "2001:db8::1",
        "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1",
        "2002:808:808::1", "2001:0:1::1", "fec0::1", "::ffff:0:10.0.0.1",
    ],
)  # fmt: skip
def test_addresses_off_the_public_internet_are_refused(address):
    assert not is_reachable(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_public_addresses_are_allowed(address):
    assert is_reachable(ipaddress.ip_address(address), ())


def test_an_allowed_network_widens_and_nothing_else():
    allowed = ("10.0.0.0/8", "::1/128")
    assert is_reachable(ipaddress.ip_address("10.1.2.3"), allowed)
    assert is_reachable(ipaddress.ip_address("::1"), allowed)
    assert not is_reachable(ipaddress.ip_address("::ffff:10.1.2.3"), allowed)
    assert not is_reachable(ipaddress.ip_address("192.168.1.1"), allowed)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70 + ".example.com", "a..b"])
def test_a_name_that_does_not_exist_is_said_so(host):
    with pytest.raises(InputInvalid, match="does not exist"):
        resolve(host, 25, ())


def test_numbers_in_disguise_are_judged_by_what_they_mean():
    with pytest.raises(InputInvalid, match=r"\(127\.0\.0\.1\)"):
        resolve("2130706433", 25, ())
