"""What a tracking request means and what is answered: one body of rules behind both front doors.

The hot WSGI layer (tracking/hot) and the Flask routes (tracking/routes) only translate. Nothing
here needs PostgreSQL or RabbitMQ: a click redirects by its tokens alone, and a hit is kept on local
disk before the answer leaves.
"""

import base64
import functools
import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from werkzeug.urls import iri_to_uri

from app.metrics import HITS
from tracking.hits import Kind, Visit, line
from tracking.tokens import LinkToken, TokenKeys, agree

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")

_HTML = ("Content-Type", "text/html; charset=utf-8")
ALWAYS = (
    ("Cache-Control", "no-store, no-cache, must-revalidate, private, max-age=0"),
    ("X-Robots-Tag", "noindex, nofollow"),
    ("X-Content-Type-Options", "nosniff"),
)
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]")

_OPENS, _CLICKS, _UNSUBSCRIBES = (HITS.labels(kind) for kind in Kind)

Keep = Callable[[bytes], bool]


class Answer(NamedTuple):
    """A response as WSGI wants it."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


PIXEL = Answer(
    "200 OK",
    [
        ("Content-Type", "image/gif"),
        ("Content-Length", str(len(GIF))),
        *ALWAYS,
    ],
    GIF,
)


class _Redirect(NamedTuple):
    """Where a link token leads, with the answer that takes one there."""

    link: LinkToken
    answer: Answer


class Outcome(StrEnum):
    """What became of the wish to unsubscribe."""

    DONE = "done"
    INVALID = "invalid"
    NOT_KEPT = "not_kept"


class Tracker:
    """Answers the public routes. `keep` stores a line before it returns; False when it could not."""

    def __init__(self, keys: TokenKeys, keep: Keep) -> None:
        self._keys = keys
        self._keep = keep
        # A campaign has a few destinations and a million clicks on them.
        self._redirect = functools.lru_cache(maxsize=4_096)(self._read_redirect)

    def opened(self, token: str, seen: Visit) -> Answer:
        """Return the pixel; count the open if the token is ours."""
        mail = self._keys.read_mail(token)
        if mail is not None:
            self._keep(line(Kind.OPEN, mail.email_id, seen))
            _OPENS.inc()
        return PIXEL

    def clicked(self, mail_token: str, link_token: str, seen: Visit) -> Answer | None:
        """Return the redirect to the signed destination, or None: never an open redirect."""
        mail, redirect = self._keys.read_mail(mail_token), self._redirect(link_token)
        if mail is None or redirect is None or not agree(mail, redirect.link):
            return None
        link = redirect.link
        self._keep(line(Kind.CLICK, mail.email_id, seen, link=link.link_no, url=link.url))
        _CLICKS.inc()
        return redirect.answer

    def _read_redirect(self, link_token: str) -> "_Redirect | None":
        link = self._keys.read_link(link_token)
        location = None if link is None else _location(link.url)
        if link is None or location is None:
            return None
        headers = [("Location", location), _HTML, ("Content-Length", "0"), *ALWAYS]
        return _Redirect(link, Answer("302 Found", headers, b""))

    def may_unsubscribe(self, token: str) -> bool:
        """Tell whether an unsubscribe token is ours."""
        return self._keys.read_unsubscribe(token) is not None

    def unsubscribed(self, token: str, seen: Visit) -> Outcome:
        """Keep the wish to unsubscribe; only DONE may be shown as done."""
        mail = self._keys.read_unsubscribe(token)
        if mail is None:
            return Outcome.INVALID
        if not self._keep(line(Kind.UNSUBSCRIBE, mail.email_id, seen)):
            return Outcome.NOT_KEPT
        _UNSUBSCRIBES.inc()
        return Outcome.DONE


def _location(url: str) -> str | None:
    """Return a destination as a Location header may carry it, or None, whoever signed it."""
    if not url.startswith(("https://", "http://")) or _CONTROL.search(url):
        return None
    try:
        return iri_to_uri(url)
    except ValueError:
        return None
