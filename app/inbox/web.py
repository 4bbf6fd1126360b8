"""The inbox in a browser, and as JSON for tests and the demo.

GET /                               newest mails first, ?before=<seq> for the next page
GET /messages/<seq>                 one mail: HTML in a sandboxed frame, text, source
GET /messages/<seq>/html            its HTML part alone; may run nothing and load nothing
GET /messages/<seq>/source          its bytes
GET /api/messages?after=&limit=     mails in the order of arrival, without their bytes
GET /api/messages/<seq>             one mail with raw bytes (as latin-1 text) and parts
GET /api/counts                     how many mails, recipients, and which came twice
DELETE /api/messages                forget all
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jinja2
import orjson

from app.inbox.parts import parts_of
from app.inbox.store import Store

_PAGE = 50
_MOST_LISTED = 10_000
_OWN_POLICY = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'"
# A mail is foreign input; remote images stay off because they would fire our own pixel.
_MAIL_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_PAGES = jinja2.Environment(loader=jinja2.PackageLoader("app.inbox", "pages"), autoescape=True)


class Server(ThreadingHTTPServer):
    """The HTTP server of one store."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], store: Store) -> None:
        self.store = store
        super().__init__(address, Handler)


class Handler(BaseHTTPRequestHandler):
    """One HTTP connection."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: Server

    def do_GET(self) -> None:
        """Answer a page, a part of a mail, or JSON."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match url.path.strip("/").split("/"):
            case [""]:
                self._list(query)
            case ["inbox.css"]:
                self._answer(_source("inbox.css"), "text/css")
            case ["messages", seq]:
                self._with_mail(seq, self._show)
            case ["messages", seq, "html"]:
                self._with_mail(seq, self._show_html)
            case ["messages", seq, "source"]:
                self._with_mail(seq, lambda _, data: self._answer(data, "text/plain"))
            case ["api", "messages"]:
                listed = self._store.messages(_number(query, "after", 0), _limit(query))
                self._json([asdict(message) for message in listed])
            case ["api", "messages", seq]:
                self._with_mail(seq, self._show_json)
            case ["api", "counts"]:
                self._json(counts(self._store))
            case _:
                self._missing()

    def do_DELETE(self) -> None:
        """Forget every mail."""
        if urlsplit(self.path).path != "/api/messages":
            self._missing()
            return
        self._store.clear()
        self._json({"messages": 0})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Stay quiet: the inbox's log is its list."""

    @property
    def _store(self) -> Store:
        return self.server.store

    def _list(self, query: dict[str, str]) -> None:
        before = _number(query, "before", 0) or None
        listed = self._store.latest(_PAGE, before)
        more = listed[-1].seq if len(listed) == _PAGE and listed[-1].seq > 1 else None
        self._page("list.html", messages=listed, total=self._store.count(), more=more)

    def _show(self, message: Any, data: bytes) -> None:
        source = data.decode("utf-8", "replace")
        self._page("message.html", message=message, parts=parts_of(data), source=source)

    def _show_html(self, _: Any, data: bytes) -> None:
        self._answer(parts_of(data).html.encode(), "text/html", _MAIL_POLICY)

    def _show_json(self, message: Any, data: bytes) -> None:
        parts = asdict(parts_of(data))
        self._json({**asdict(message), "raw": data.decode("latin-1"), "parts": parts})

    def _with_mail(self, seq: str, show: Callable[[Any, bytes], None]) -> None:
        found = self._store.open(int(seq)) if seq.isdecimal() else None
        if found is None:
            self._missing()
        else:
            show(*found)

    def _missing(self) -> None:
        self._answer(b'{"error": "no such page or mail"}', "application/json", status=404)

    def _page(self, name: str, **values: Any) -> None:
        text = _PAGES.get_template(name).render(**values)
        self._answer(text.encode(), "text/html")

    def _json(self, value: object) -> None:
        self._answer(orjson.dumps(value), "application/json")

    def _answer(self, body: bytes, kind: str, policy: str = _OWN_POLICY, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def make_server(host: str, port: int, store: Store) -> Server:
    """Return a server that listens but does not answer yet; port 0 takes a free one."""
    return Server((host, port), store)


def counts(store: Store) -> dict[str, object]:
    """Return totals and every (recipient, Message-ID) that arrived more than once."""
    seen = Counter(
        (recipient, message.message_id)
        for message in store.messages()
        for recipient in message.rcpt_to
    )
    twice = [(pair, count) for pair, count in seen.items() if count > 1]
    return {
        "messages": store.count(),
        "recipients": len({recipient for recipient, _ in seen}),
        "distinct": len(seen),
        "duplicates": [
            {"rcpt_to": recipient, "message_id": message_id, "count": count}
            for (recipient, message_id), count in twice
        ],
    }


def _source(name: str) -> bytes:
    loader = _PAGES.loader
    assert loader is not None  # noqa: S101 - set three screens above
    return loader.get_source(_PAGES, name)[0].encode()


def _number(query: dict[str, str], name: str, default: int) -> int:
    value = query.get(name, "")
    return int(value) if value.isdecimal() else default


def _limit(query: dict[str, str]) -> int:
    return min(_number(query, "limit", 1_000), _MOST_LISTED)
