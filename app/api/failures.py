"""Every error leaves the API as a problem object (RFC 9457), never as a page or a traceback."""

import psycopg
from flask import Flask, Response, json
from werkzeug.exceptions import HTTPException

from app.api.problems import MEDIA_TYPE, problem
from app.db.session import CONNECTION_LOST
from app.errors import DependencyUnavailable, MailqueueError
from app.log import Event, logger

_RETRY_AFTER_S = "5"


def register(app: Flask) -> None:
    """Make `app` answer each kind of error as a problem object."""
    app.register_error_handler(MailqueueError, _refused)
    app.register_error_handler(HTTPException, _http)
    for lost in CONNECTION_LOST:
        app.register_error_handler(lost, _database_away)
    app.register_error_handler(Exception, _unexpected)


def _answer(body: dict[str, object], status: int) -> Response:
    response = Response(json.dumps(body), status, mimetype=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if status == 503:
        response.headers["Retry-After"] = _RETRY_AFTER_S
    return response


def _refused(error: MailqueueError) -> Response:
    body = problem(error)
    return _answer(body, body["status"])


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    body: dict[str, object] = {
        "type": "about:blank",
        "title": error.name,
        "status": status,
        "detail": error.description or "",
    }
    response = _answer(body, status)
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After", "WWW-Authenticate"}:
            response.headers[name] = value
    return response


def _database_away(error: psycopg.Error) -> Response:
    logger().warning(Event.DEPENDENCY_LOST, what="PostgreSQL", why=str(error).strip())
    return _refused(
        DependencyUnavailable(
            "The database did not answer.",
            why="It is away or restarting.",
            fix="Try again in a few seconds under the same Idempotency-Key: it may have been kept.",
        )
    )


def _unexpected(error: Exception) -> Response:
    logger().error(Event.REQUEST_FAILED, error=type(error).__name__, exc_info=error)
    body: dict[str, object] = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "The server met an error it does not know; it is in its log.",
    }
    return _answer(body, 500)
