"""The pixel and the click in plain WSGI, in front of Flask, which costs five times as much.

Whatever is not plainly one of the two goes on to the Flask routes, which answer the same: a test
runs every case against both.
"""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.clock import utc_now
from app.proxies import TrustedProxies
from tracking.hits import Visit, visit
from tracking.routes import LONGEST_TARGET
from tracking.tracker import Answer, Tracker


class HotRoutes:
    """WSGI middleware around the Flask app of tracking.routes."""

    def __init__(self, app: WSGIApplication, tracker: Tracker, proxies: TrustedProxies) -> None:
        self._app = app
        self._tracker = tracker
        self._proxies = proxies

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a hot request, or let the app do it."""
        answer = self._answer(environ)
        if answer is None:
            return self._app(environ, start_response)
        start_response(answer.status, list(answer.headers))
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]

    def _answer(self, environ: WSGIEnvironment) -> Answer | None:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return None
        if len(path) + len(environ.get("QUERY_STRING") or "") > LONGEST_TARGET:
            return None
        match path.split("/"):
            case ["", "t", name] if name.endswith(".gif") and name != ".gif":
                return self._tracker.opened(name[:-4], self._visit(environ))
            case ["", "c", mail_token, link_token] if mail_token and link_token:
                return self._tracker.clicked(mail_token, link_token, self._visit(environ))
            case _:
                return None

    def _visit(self, environ: WSGIEnvironment) -> Visit:
        return visit(environ, self._proxies, int(utc_now().timestamp() * 1000))
