"""From a request to a handler's arguments; what does not fit names the place by a JSON pointer.

A body is read as JSON whatever a careless client calls it (curl says form-urlencoded), but not in
another charset, and not beyond its limit of bytes. NUL is refused everywhere: PostgreSQL has no
place for it.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from app.api.endpoint import Endpoint
from app.api.refusals import BodyUnreadable, FieldsInvalid, MediaTypeUnknown
from app.errors import NotFound

JSON = "application/json"
_JSON_TYPES = frozenset({"", JSON, "application/x-www-form-urlencoded", "text/json", "text/plain"})
_MOST_PROBLEMS = 50
_NUL = "\x00"


def arguments(
    endpoint: Endpoint, path: Mapping[str, str], query: str, content_type: str, body: bytes
) -> dict[str, Any]:
    """Return what the handler is called with beside `call`; raises InputInvalid or NotFound."""
    found = {name: _path_value(endpoint, name, text) for name, text in path.items()}
    if endpoint.query is not None:
        found["query"] = _query(endpoint.query, query)
    elif query:
        raise FieldsInvalid("query", [_problem(("query",), "This route takes no query.")])
    if endpoint.body is bytes:
        if endpoint.terms.accepts == JSON:
            _require_json(content_type)
        else:
            _require_type(content_type, endpoint.terms.accepts)
        found["body"] = body
    elif endpoint.body is not None:
        _require_json(content_type)
        found["body"] = _json(endpoint.body, body)
    elif body.strip() not in {b"", b"{}"}:
        raise FieldsInvalid("body", [_problem((), "This route takes no body.")])
    return found


def _path_value(endpoint: Endpoint, name: str, text: str) -> Any:
    """Read a part of the path; what cannot be an id names nothing, so it is not found."""
    try:
        value = endpoint.path_types[name].validate_strings(text)
    except ValidationError:
        value = None
    if value is None or _NUL in text:
        raise NotFound(
            f"There is no {name.removesuffix('_id').replace('_', ' ')} {text[:80]!r}.",
            why="It is not of the form such a name has.",
            fix="List what there is.",
        )
    return value


def _query(model: type[BaseModel], text: str) -> BaseModel:
    given: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=100):
        if name in given or _NUL in value:
            why = "It is given twice." if name in given else "It contains NUL."
            raise FieldsInvalid("query", [_problem((name,), why)])
        given[name] = value
    try:
        return model.model_validate_strings(given)
    except ValidationError as error:
        raise FieldsInvalid("query", _problems(error)) from error


def _json(model: Any, body: bytes) -> Any:
    if b"\\u0000" in body:
        raise FieldsInvalid("body", [_problem((), "It contains NUL.")])
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = _problems(error)
        if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
            raise BodyUnreadable(
                "The body is no JSON.",
                why=problems[0]["detail"],
                fix="Send one JSON object in UTF-8.",
            ) from error
        raise FieldsInvalid("body", problems) from error


def _require_json(content_type: str) -> None:
    kind, charset = _split(content_type)
    if (kind not in _JSON_TYPES and not kind.endswith("+json")) or charset not in {"", "utf-8"}:
        raise _unknown(content_type, "application/json in UTF-8")


def _require_type(content_type: str, accepted: str) -> None:
    kind, charset = _split(content_type)
    if kind not in {accepted, "application/x-www-form-urlencoded"} or charset not in {"", "utf-8"}:
        raise _unknown(content_type, f"{accepted} in UTF-8")


def _split(content_type: str) -> tuple[str, str]:
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    named = dict(part.partition("=")[::2] for part in parameters)
    return kind, named.get("charset", "").strip('"').replace("utf8", "utf-8")


def _unknown(content_type: str, wanted: str) -> MediaTypeUnknown:
    return MediaTypeUnknown(
        f"This route does not read {content_type[:100] or 'a body without media type'}.",
        why=f"It takes {wanted}.",
        fix="Set the Content-Type header.",
        field="Content-Type",
    )


def _problems(error: ValidationError) -> list[dict[str, str]]:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [_problem(each["loc"], f"{each['msg']}.") for each in found[:_MOST_PROBLEMS]]


def _problem(where: tuple[int | str, ...], detail: str) -> dict[str, str]:
    """Return one problem with its JSON pointer (RFC 6901)."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in where)
    return {"pointer": "".join(f"/{part}" for part in parts)[:300], "detail": detail}
