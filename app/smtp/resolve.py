"""From a host name to the addresses we dare to connect to (server-side request forgery).

A tenant names the SMTP host. It is resolved once, addresses that are not on the public internet are
dropped unless the operator allowed their network, and the caller connects to exactly what is
returned here, never to the name again.
"""

import ipaddress
import socket
from collections.abc import Sequence

from app.errors import DependencyUnavailable, InputInvalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Global by the registry, but each carries an IPv4 address that some gateway would unpack, or is an
# old name of a private network (fec0::/10).
_EMBEDDING = tuple(
    ipaddress.ip_network(network)
    for network in (
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "fec0::/10",
    )
)


def networks_in(setting: str) -> tuple[str, ...]:
    """Return the networks a setting lists, separated by commas."""
    return tuple(text.strip() for text in setting.split(",") if text.strip())


def is_reachable(address: Address, allowed_networks: Sequence[str]) -> bool:
    """Return whether we may connect to `address`: public, or in one of the allowed networks."""
    if any(address in ipaddress.ip_network(network, strict=False) for network in allowed_networks):
        return True
    if address.is_multicast or not address.is_global:
        return False
    return not any(address in network for network in _EMBEDDING)


def resolve(host: str, port: int, allowed_networks: Sequence[str]) -> list[Address]:
    """Return the addresses of `host` in the resolver's order, only those we may connect to.

    Raises InputInvalid when the name does not exist or leads only to refused addresses, and
    DependencyUnavailable when it cannot be looked up now. Blocks as long as the system's resolver.
    """
    found = list(dict.fromkeys(_lookup(host, port)))
    reachable = [address for address in found if is_reachable(address, allowed_networks)]
    if not reachable:
        raise InputInvalid(
            f"The host {host} is not on the public internet ({', '.join(map(str, found))}).",
            why="Connections to private, local and special networks are refused.",
            fix="Use the server's public name, or let the operator allow its network.",
            field="host",
        )
    return reachable


def _lookup(host: str, port: int) -> list[Address]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise DependencyUnavailable(
                f"The host name {host} could not be looked up now.",
                why="The name server did not answer.",
                fix="Try again later.",
            ) from error
        raise _unknown(host) from error
    except (UnicodeError, OverflowError) as error:
        raise _unknown(host) from error
    return [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]


def _unknown(host: str) -> InputInvalid:
    return InputInvalid(
        f"The host name {host} does not exist.",
        fix="Check the spelling of the host.",
        field="host",
    )
