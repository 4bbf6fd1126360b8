"""The contract, written down by the code that keeps it: OpenAPI 3.1 from the declared routes."""

import inspect
from collections.abc import Sequence
from http import HTTPMethod, HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.api.call import APP_HEADER
from app.api.endpoint import Endpoint, Routes, Unit, is_raw
from app.api.problems import MEDIA_TYPE, STATUSES, Problem
from app.submission import idempotency

VERSION = "3.1.0"

_ABOUT = """Schedules, assembles, sends and tracks mail for many tenants.

Every request carries `Authorization: Bearer` with an API key (`mq_live_...`, or `mq_test_...`: then
every event is simulated and nothing is sent) or with a person's token of `POST /v1/login`. Every
error is a problem object (RFC 9457): what happened, why, what to do, and where. Lists answer
`data`, `cursor`, `has_more`. A POST with an `Idempotency-Key` is done once, however often it comes.
"""

_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or a token of POST /v1/login.",
    }
}


def document(subjects: Sequence[Routes], version: str) -> dict[str, Any]:
    """Return the OpenAPI document of these routes."""
    endpoints = [endpoint for routes in subjects for endpoint in routes.endpoints]
    schemas, definitions = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        described = _operation(endpoint, schemas)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = described
    return {
        "openapi": VERSION,
        "info": {
            "title": "Mailqueue",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": _tags(subjects),
        "paths": paths,
        "components": {
            "securitySchemes": _SECURITY,
            "schemas": definitions,
            "responses": _problem_responses(),
        },
    }


def _tags(subjects: Sequence[Routes]) -> list[dict[str, str]]:
    about = {each.tag: each.about for each in subjects}
    return [{"name": tag, "description": text} for tag, text in about.items()]


_Schemas = dict[tuple[Any, JsonSchemaMode], Any]


def _schemas(endpoints: Sequence[Endpoint]) -> tuple[_Schemas, dict[str, Any]]:
    """Return each model's reference and the definitions they refer to."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "serialization")]
    for endpoint in endpoints:
        if _is_model(endpoint.body):
            wanted.append((endpoint.body, "validation"))  # type: ignore[arg-type]
        if _is_model(endpoint.answer):
            wanted.append((endpoint.answer, "serialization"))
    found, top = models_json_schema(
        list(dict.fromkeys(wanted)), ref_template="#/components/schemas/{model}"
    )
    return {**found}, dict(sorted(top.get("$defs", {}).items()))


def _is_model(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    summary, rest = endpoint.about
    terms = endpoint.terms
    scope = f"Scope: `{terms.needs}`." if terms.needs else "Open to everybody."
    described: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": summary,
        "description": "\n\n".join(part for part in (rest, scope) if part),
        "responses": _responses(endpoint, schemas),
    }
    parameters = [*_path(endpoint), *_query(endpoint), *_headers(endpoint)]
    if parameters:
        described["parameters"] = parameters
    if endpoint.body is not None:
        described["requestBody"] = _body(endpoint, schemas)
    if terms.needs is None:
        described["security"] = []
    return described


def _path(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": adapter.json_schema()}
        for name, adapter in endpoint.path_types.items()
    ]


def _query(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = _inlined(endpoint.query.model_json_schema())
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            **({"description": said} if (said := field.pop("description", None)) else {}),
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a query's schema without references: its enums stand where they are used."""
    definitions = schema.pop("$defs", {})

    def walk(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return walk(definitions[part["$ref"].rpartition("/")[2]])
            return {name: walk(inner) for name, inner in part.items()}
        return [walk(inner) for inner in part] if isinstance(part, list) else part

    inlined: dict[str, Any] = walk(schema)
    return inlined


def _headers(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if endpoint.method is HTTPMethod.POST and endpoint.terms.needs is not None:
        about = "A fresh word for each thing to be done, the same one for its retries."
        schema = {"type": "string", "pattern": "^[!-~]{1,255}$"}
        found.append(_header(idempotency.HEADER, about, schema))
    if endpoint.terms.needs is not None and endpoint.terms.unit is not Unit.OPERATOR:
        about = "For a super_admin only: the app that is meant."
        found.append(_header(APP_HEADER, about, {"type": "string", "format": "uuid"}))
    return found


def _header(name: str, about: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": about,
        "schema": schema,
    }


def _body(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    if _is_model(endpoint.body):
        schema = schemas[(endpoint.body, "validation")]
        return {"required": True, "content": {"application/json": {"schema": schema}}}
    return {"required": True, "content": {endpoint.terms.accepts: {"schema": {"type": "string"}}}}


def _responses(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    return {**_success(endpoint, schemas), **_refusals()}


def _success(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    if endpoint.answer is None:
        return {str(int(HTTPStatus.NO_CONTENT)): {"description": "Done."}}
    status = str(int(endpoint.terms.status))
    if is_raw(endpoint.answer):
        kind = endpoint.answer.__dataclass_fields__["media_type"].default.partition(";")[0]
        return {status: {"description": "Done.", "content": {kind: {"schema": {"type": "string"}}}}}
    if _is_model(endpoint.answer):
        schema = schemas[(endpoint.answer, "serialization")]
    else:
        schema = TypeAdapter(endpoint.answer).json_schema(mode="serialization")
    return {status: {"description": "Done.", "content": {"application/json": {"schema": schema}}}}


def _refusals() -> dict[str, Any]:
    return {
        str(int(status)): {"$ref": f"#/components/responses/Problem{int(status)}"}
        for status in STATUSES
    }


def _problem_responses() -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        f"Problem{int(status)}": {"description": about, "content": content}
        for status, about in STATUSES.items()
    }
