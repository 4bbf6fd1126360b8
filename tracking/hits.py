"""From a request to one line of the spool: who asked, cut to size, as the schema of a hit. Pure.

A line is one app.queueing.payloads.Hit as JSON. Its event id is made here, once, so the hit may be
published and recorded any number of times.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID
from wsgiref.types import WSGIEnvironment

import orjson

from app.ids import new_id
from app.proxies import TrustedProxies

_LONGEST_USER_AGENT = 512
_LONGEST_PURPOSE = 64
_LONGEST_METHOD = 8


class Kind(StrEnum):
    """What a hit is."""

    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who asked and when; nothing in it is longer than a hit may hold."""

    method: str
    ip: str
    user_agent: str
    purpose: str
    at_ms: int


def visit(environ: WSGIEnvironment, proxies: TrustedProxies, at_ms: int) -> Visit:
    """Return who sent a WSGI request."""
    get = environ.get
    peer, forwarded = get("REMOTE_ADDR") or "", get("HTTP_X_FORWARDED_FOR") or ""
    return Visit(
        method=environ["REQUEST_METHOD"][:_LONGEST_METHOD],
        ip=proxies.client_ip(peer, forwarded)[:45],
        user_agent=_clean(get("HTTP_USER_AGENT") or "", _LONGEST_USER_AGENT),
        purpose=_clean(
            get("HTTP_SEC_PURPOSE")
            or get("HTTP_PURPOSE")
            or get("HTTP_X_PURPOSE")
            or get("HTTP_X_MOZ")
            or "",
            _LONGEST_PURPOSE,
        ),
        at_ms=at_ms,
    )


def line(
    kind: Kind, email_id: UUID, seen: Visit, *, link: int | None = None, url: str | None = None
) -> bytes:
    """Return a hit as one line of JSON."""
    hit = {
        "event_id": new_id(),
        "email_id": email_id,
        "kind": kind,
        "at_ms": seen.at_ms,
        "link": link,
        "url": url,
        "method": seen.method,
        "ip": seen.ip,
        "user_agent": seen.user_agent,
        "purpose": seen.purpose,
    }
    return orjson.dumps(hit, option=orjson.OPT_APPEND_NEWLINE)


def _clean(text: str, longest: int) -> str:
    """Cut a header; PostgreSQL takes no NUL and a log no other control character."""
    text = text[:longest]
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())
