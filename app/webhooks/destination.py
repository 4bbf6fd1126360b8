"""Where a webhook may lead (server-side request forgery, TRUST.md).

A tenant names the URL. To public addresses only https on 443 is spoken (http on 80 when the
operator allows it); to networks the operator allows, anything. The name is resolved once for each
try, and the connection goes to the address that was checked.
"""

import ipaddress
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

from app.config import Settings
from app.errors import InputInvalid
from app.smtp.resolve import Address, networks_in, resolve

LONGEST = 2_000
_USUAL_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the operator allows besides https to public addresses."""

    networks: tuple[str, ...] = ()
    plain_http: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what the settings allow."""
        networks = networks_in(settings.webhook_allowed_networks)
        return cls(networks=networks, plain_http=settings.webhook_plain_http)

    def allows(self, address: Address) -> bool:
        """Tell whether `address` is in a network the operator allows by name."""
        return any(address in ipaddress.ip_network(each, strict=False) for each in self.networks)

    def is_usual(self, scheme: str, port: int) -> bool:
        """Tell whether a public address may be spoken to in this way."""
        schemes = ("https", "http") if self.plain_http else ("https",)
        return scheme in schemes and port == _USUAL_PORTS[scheme]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL taken apart; `target` is what the request line says."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Return the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _USUAL_PORTS[self.scheme] else f"{host}:{self.port}"


def parsed(url: str) -> Destination:
    """Return a URL taken apart; raises InputInvalid. Nothing is looked up."""
    if len(url) > LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise _refused(f"It has at most {LONGEST:,} printable ASCII characters and no spaces.")
    try:
        parts = urlsplit(url)
        port = parts.port or _USUAL_PORTS[parts.scheme]
    except (ValueError, KeyError) as error:
        raise _refused("It is not of the form https://host/path.") from error
    if not parts.hostname or parts.fragment or "@" in parts.netloc:
        raise _refused("It needs a host, and has neither a login nor a fragment.")
    return Destination(scheme=parts.scheme, host=parts.hostname, port=port, target=_target(parts))


def require_allowed(url: str, reach: Reach) -> Destination:
    """Return a URL that may be a webhook's; raises InputInvalid for what can never be reached."""
    found = parsed(url)
    if not reach.networks and not reach.is_usual(found.scheme, found.port):
        raise _refused("Webhooks are spoken to over https on port 443.")
    return found


def address_of(found: Destination, reach: Reach) -> Address:
    """Look the host up, once, and return the address to connect to.

    Raises InputInvalid when none may be connected to, DependencyUnavailable when it cannot be
    looked up now.
    """
    addresses = resolve(found.host, found.port, reach.networks)
    usual = reach.is_usual(found.scheme, found.port)
    chosen = next((each for each in addresses if usual or reach.allows(each)), None)
    if chosen is None:
        raise _refused("Public webhooks are spoken to over https on port 443.")
    return chosen


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _refused(why: str) -> InputInvalid:
    return InputInvalid(
        "The URL cannot be a webhook's.",
        why=why,
        fix="Give an https URL of a public host.",
        field="url",
    )
