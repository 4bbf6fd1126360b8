"""The public tracking routes in Flask: the whole of them, and the reference for the hot ones.

    /t/<mail token>.gif               the pixel
    /c/<mail token>/<link token>      a click
    /u/<unsubscribe token>            GET asks and changes nothing, POST unsubscribes (RFC 8058)
    /api/track/open?token=            the pixel, as some integrations spell it
    /api/track/click?token=<a>~<b>    a click, its two tokens joined by ~
    /healthz

They set no cookie and open no database.
"""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from app.clock import utc_now
from app.proxies import TrustedProxies
from tracking.hits import Visit, visit
from tracking.tracker import ALWAYS, Answer, Outcome, Tracker

LONGEST_TARGET = 8_192
_LONGEST_BODY = 16 * 1024
_HERE = Path(__file__).parent
_CSS = (_HERE / "page.css").read_bytes()

_PAGE_HEADERS = (
    *ALWAYS,
    (
        "Content-Security-Policy",
        (
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        ),
    ),
    ("Referrer-Policy", "no-referrer"),
)


def create_app(
    tracker: Tracker, proxies: TrustedProxies, waiting_bytes: Callable[[], int | None]
) -> Flask:
    """Return the Flask app; `waiting_bytes` is None when there is no disk to keep hits on."""
    app = Flask("tracking", template_folder=str(_HERE), static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LONGEST_BODY
    app.url_map.merge_slashes = False
    app.before_request(_refuse_long_target)
    app.register_error_handler(HTTPException, _refuse)
    app.register_blueprint(_hits(tracker, proxies))
    app.register_blueprint(_unsubscribes(tracker, proxies))
    app.register_blueprint(_house(waiting_bytes))
    return app


def _hits(tracker: Tracker, proxies: TrustedProxies) -> Blueprint:
    routes = Blueprint("hits", __name__)

    @routes.get("/t/<token>.gif")
    def pixel(token: str) -> Response:
        return _response(tracker.opened(token, _visit(proxies)))

    @routes.get("/c/<mail_token>/<link_token>")
    def click(mail_token: str, link_token: str) -> Response:
        return _redirect(tracker.clicked(mail_token, link_token, _visit(proxies)))

    @routes.get("/api/track/open")
    def seed_open() -> Response:
        return _response(tracker.opened(request.args.get("token", ""), _visit(proxies)))

    @routes.get("/api/track/click")
    def seed_click() -> Response:
        mail_token, _, link_token = request.args.get("token", "").partition("~")
        return _redirect(tracker.clicked(mail_token, link_token, _visit(proxies)))

    return routes


def _unsubscribes(tracker: Tracker, proxies: TrustedProxies) -> Blueprint:
    routes = Blueprint("unsubscribes", __name__)

    @routes.get("/u/<token>")
    def ask(token: str) -> Response:
        if not tracker.may_unsubscribe(token):
            return _not_found()
        return _question(HTTPStatus.OK)

    @routes.post("/u/<token>")
    def unsubscribe(token: str) -> Response:
        if not tracker.may_unsubscribe(token):
            return _not_found()
        if request.form.get("List-Unsubscribe", "").strip().lower() != "one-click":
            return _question(HTTPStatus.BAD_REQUEST)
        if tracker.unsubscribed(token, _visit(proxies)) is Outcome.NOT_KEPT:
            text = "Nothing was changed. Please try again in a few minutes."
            return _page(HTTPStatus.SERVICE_UNAVAILABLE, "That did not work", text)
        text = "You will get no more of these e-mails. It may take a minute to reach every server."
        return _page(HTTPStatus.OK, "You are unsubscribed", text)

    return routes


def _house(waiting_bytes: Callable[[], int | None]) -> Blueprint:
    routes = Blueprint("house", __name__)

    @routes.get("/page.css")
    def stylesheet() -> Response:
        headers = {"Cache-Control": "public, max-age=86400", "X-Content-Type-Options": "nosniff"}
        return Response(_CSS, headers=headers, content_type="text/css; charset=utf-8")

    @routes.get("/healthz")
    def health() -> tuple[dict[str, object], int]:
        waiting = waiting_bytes()
        if waiting is None:
            return {"status": "degraded", "reason": "no spool directory"}, 503
        return {"status": "ok", "spool_bytes": waiting}, 200

    return routes


def _visit(proxies: TrustedProxies) -> Visit:
    return visit(request.environ, proxies, int(utc_now().timestamp() * 1000))


def _response(answer: Answer) -> Response:
    return Response(answer.body, status=answer.status, headers=answer.headers)


def _redirect(answer: Answer | None) -> Response:
    return _not_found() if answer is None else _response(answer)


def _not_found() -> Response:
    text = "It may be incomplete: please copy all of it from the e-mail."
    return _page(HTTPStatus.NOT_FOUND, "This link does not work", text)


def _question(status: HTTPStatus) -> Response:
    return _page(status, "Unsubscribe?", "You will get no more of these e-mails.", asks=True)


def _page(status: HTTPStatus, title: str, text: str, *, asks: bool = False) -> Response:
    body = render_template("page.html", title=title, text=text, asks=asks)
    return Response(
        body, status=status, headers=_PAGE_HEADERS, content_type="text/html; charset=utf-8"
    )


def _refuse_long_target() -> Response | None:
    if len(request.environ["PATH_INFO"]) + len(request.query_string) <= LONGEST_TARGET:
        return None
    text = "It is longer than any link we make."
    return _page(HTTPStatus.REQUEST_URI_TOO_LONG, "This link does not work", text)


def _refuse(error: HTTPException) -> Response:
    """Return an HTTP error as a page, with the headers it asks for (Allow)."""
    status = HTTPStatus(error.code or 500)
    if status is HTTPStatus.NOT_FOUND:
        return _not_found()
    page = _page(status, status.phrase, "This address does not take such a request.")
    page.headers.extend({name: v for name, v in error.get_headers() if name == "Allow"})
    return page
