"""Errors as problem details for machines (RFC 9457), the same for the API and the command line."""

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

from app.api.refusals import BodyTooLarge, BodyUnreadable, FieldsInvalid, MediaTypeUnknown
from app.errors import (
    Conflict,
    DependencyUnavailable,
    Forbidden,
    InputInvalid,
    MailqueueError,
    NotFound,
    RateLimited,
    TemplateInvalid,
    Unauthorized,
)

MEDIA_TYPE = "application/problem+json"

STATUSES: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The body is no JSON, or the request is no HTTP.",
    HTTPStatus.UNAUTHORIZED: "The key or token is missing or wrong.",
    HTTPStatus.FORBIDDEN: "The caller may not do this.",
    HTTPStatus.NOT_FOUND: "There is no such thing in this app.",
    HTTPStatus.CONFLICT: "The state of the thing forbids it.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The route does not read this media type.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Fields cannot be used; `errors` points at each.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests; Retry-After says when.",
    HTTPStatus.SERVICE_UNAVAILABLE: "A dependency is away; try again under the same Idempotency-Key.",
}

_STATUS: tuple[tuple[type[MailqueueError], HTTPStatus], ...] = (
    (BodyUnreadable, HTTPStatus.BAD_REQUEST),
    (BodyTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (MediaTypeUnknown, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (InputInvalid, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (RateLimited, HTTPStatus.TOO_MANY_REQUESTS),
    (DependencyUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)


class FieldProblem(BaseModel):
    """One field that cannot be used."""

    pointer: str = Field(description="Where: a JSON pointer (RFC 6901) into body or query.")
    detail: str


class TemplateLine(BaseModel):
    """One line of a template that cannot be used."""

    part: str
    line: int
    what: str
    fix: str


class Problem(BaseModel):
    """What went wrong (RFC 9457): what (`title`), why (`detail`), what to do (`fix`), where."""

    type: str
    title: str
    status: int
    code: str | None = None
    detail: str | None = None
    fix: str | None = None
    field: str | None = None
    errors: list[FieldProblem] | None = None
    problems: list[TemplateLine] | None = None


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
    if isinstance(error, FieldsInvalid):
        body["errors"] = error.found
    if isinstance(error, TemplateInvalid):
        body["problems"] = [
            {"part": found.part, "line": found.line, "what": found.what, "fix": found.fix}
            for found in error.problems
        ]
    return body
