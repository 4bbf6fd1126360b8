"""The demo's side of the wire: reads the inbox over HTTP and requests what is in its mails."""

import http.client
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from app.errors import DependencyUnavailable

_PIXEL = re.compile(r'<img src="([^"]+/t/[^"]+\.gif)"')
_CLICK = re.compile(r'href="([^"]+/c/[^"]+)"')
_TIMEOUT_S = 10
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A mail as the inbox lists it."""

    seq: int
    at_ms: int
    recipient: str
    subject: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What of a mail can be requested; `unsubscribe` is the URL of List-Unsubscribe."""

    sender: str
    pixel: str | None
    links: tuple[str, ...]
    unsubscribe: str | None


class Mailbox:
    """The inbox of one host and port."""

    def __init__(self, host: str, port: int) -> None:
        self._base = f"http://{host}:{port}"

    def newest(self) -> int:
        """Return the number of the newest mail, 0 without any."""
        after = 0
        while page := self.after(after):
            after = page[-1].seq
        return after

    def after(self, seq: int) -> list[Arrived]:
        """Return the next mails after number `seq`, at most a page of them."""
        listed = self._json(f"/api/messages?after={seq}&limit={_PAGE}")
        return [
            Arrived(
                seq=mail["seq"],
                at_ms=mail["at_ms"],
                recipient=mail["rcpt_to"][0],
                subject=mail["subject"],
                message_id=mail["message_id"],
            )
            for mail in listed
        ]

    def contents(self, seq: int) -> Contents:
        """Return what a mail holds."""
        parts = self._json(f"/api/messages/{seq}")["parts"]
        headers = {name.lower(): value for name, value in parts["headers"]}
        pixel = _PIXEL.search(parts["html"])
        target = re.search(r"<(https?://[^>]+)>", headers.get("list-unsubscribe", ""))
        return Contents(
            sender=headers.get("from", ""),
            pixel=pixel[1] if pixel else None,
            links=tuple(_CLICK.findall(parts["html"])),
            unsubscribe=target[1] if target else None,
        )

    def _json(self, path: str) -> Any:
        status, body = request("GET", self._base + path, "mailqueue demo")
        if status != 200:
            raise DependencyUnavailable(
                f"The inbox answered {status} to {path}.", fix="Look into its log."
            )
        return orjson.loads(body)


def request(method: str, url: str, user_agent: str, body: str | None = None) -> tuple[int, bytes]:
    """Make one request and follow no redirect; raises DependencyUnavailable."""
    parts = urlsplit(url)
    headers = {"User-Agent": user_agent, "Connection": "close"}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_S)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise DependencyUnavailable(
            f"{parts.netloc} does not answer.",
            why=f"{str(error) or type(error).__name__}.",
            fix="The demo needs all processes: ./run demo starts them, or mailqueue up --inbox.",
        ) from error
    finally:
        connection.close()
