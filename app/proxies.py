"""Which address a request came from, when proxies stand in between: trusted ones only."""

import functools
import ipaddress

from app.errors import ConfigurationInvalid

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class TrustedProxies:
    """The networks whose X-Forwarded-For is believed: comma-separated CIDR, empty for none."""

    def __init__(self, networks: str) -> None:
        self._networks = tuple(_network(part) for part in networks.split(",") if part.strip())
        self._is_trusted = functools.lru_cache(maxsize=4_096)(self._contains)

    def client_ip(self, peer: str, forwarded: str) -> str:
        """Return the rightmost address of the chain no trusted proxy has; what is left of it lies.

        `peer` is who holds the connection. An entry that is no address ends the chain.
        """
        if not forwarded or not self._networks:
            return peer
        client = peer
        for entry in reversed(forwarded.split(",")):
            if not self._is_trusted(client):
                return client
            previous = _address(entry)
            if previous is None:
                return client
            client = previous
        return client

    def _contains(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def neighbourhood(address: str) -> str:
    """Return what tells one party from others: an IPv4 address, or the /64 of an IPv6 one.

    Whoever has one address of a /64 has all of them; a limit by address would never bind them.
    """
    known = ipaddress.ip_address(address)
    if known.version == 4 or known.ipv4_mapped:
        return address
    return str(ipaddress.ip_network((known, 64), strict=False))


def _address(entry: str) -> str | None:
    """Return the address in one entry of X-Forwarded-For, its port taken off; None when it is none."""
    entry = entry.strip()
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        return str(ipaddress.ip_address(entry))
    except ValueError:
        return None


def _network(part: str) -> _Network:
    try:
        return ipaddress.ip_network(part.strip(), strict=False)
    except ValueError as error:
        raise ConfigurationInvalid(
            f"The trusted proxy {part.strip()} is no network.",
            why=f"{error}.",
            fix="Set MAILQUEUE_TRUSTED_PROXIES to networks like 10.0.0.0/8, comma-separated.",
            field="trusted_proxies",
        ) from error
