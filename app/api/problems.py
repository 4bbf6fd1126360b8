"""Errors as problem details for machines (RFC 9457), the same for the API and the command line."""

from http import HTTPStatus
from typing import Any

from app.errors import (
    Conflict,
    DependencyUnavailable,
    Forbidden,
    InputInvalid,
    MailqueueError,
    NotFound,
    TemplateInvalid,
    Unauthorized,
)

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[MailqueueError], HTTPStatus], ...] = (
    (InputInvalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (DependencyUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)


def status_of(error: MailqueueError) -> HTTPStatus:
    """Return the HTTP status of an error; what a caller cannot change is 500."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem(error: MailqueueError) -> dict[str, Any]:
    """Return the problem object: `detail` says why, `fix` what to do, `field` where."""
    body: dict[str, Any] = {
        "type": f"urn:mailqueue:problem:{error.code}",
        "title": error.what,
        "status": status_of(error).value,
        "code": error.code,
    }
    optional = {"detail": error.why, "fix": error.fix, "field": error.field}
    body |= {name: value for name, value in optional.items() if value}
    if isinstance(error, TemplateInvalid):
        body["problems"] = [
            {"part": found.part, "line": found.line, "what": found.what, "fix": found.fix}
            for found in error.problems
        ]
    return body
