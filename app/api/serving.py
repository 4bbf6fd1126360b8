"""One request from door to door: who asks, may they, what do they say, do it once, answer.

The handler, the claim of its idempotency key and the answer kept for a replay share one
transaction: all of it is committed or nothing (DESIGN 2: the row is the outbox). What has to be
told to the outside follows the commit.
"""

import dataclasses
import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPMethod, HTTPStatus
from typing import Any

from flask import Flask, Response, request
from pydantic import TypeAdapter
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.authentication import (
    REQUEST_HEADER,
    Door,
    allowance_headers,
    request_name,
)
from app.api.call import Answer, Call
from app.api.endpoint import Endpoint, Unit, is_raw
from app.api.once import PLAIN, SEALED, Once, Rendered
from app.api.reading import arguments
from app.api.refusals import BodyTooLarge
from app.submission import idempotency


def register(web: Flask, endpoints: list[Endpoint], door: Door) -> None:
    """Make `web` serve `endpoints` to whom `door` lets in."""
    for endpoint in endpoints:
        rule = endpoint.path.replace("{", "<").replace("}", ">")
        web.add_url_rule(
            rule,
            endpoint=f"{endpoint.tag}.{endpoint.name}",
            view_func=_view(endpoint, door),
            methods=[endpoint.method],
            provide_automatic_options=False,
        )


def add_headers(response: Response) -> Response:
    """Name the request, say what is left of the caller's requests, and keep caches out."""
    response.headers[REQUEST_HEADER] = request_name(request)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    for name, value in allowance_headers().items():
        response.headers[name] = value
    return response


def _view(endpoint: Endpoint, door: Door) -> Callable[..., Response]:
    render = _renderer(endpoint)

    def view(**path: str) -> Response:
        call = door.admit(endpoint, request)
        body = _body(endpoint)
        rendered = _answered(endpoint, call, path, body, render)
        for effect in call.after_commit:
            effect()
        response = Response(rendered.body, rendered.status, mimetype=None)
        if rendered.status == HTTPStatus.NO_CONTENT:
            del response.headers["Content-Type"]
        else:
            response.headers["Content-Type"] = rendered.media_type
        if rendered.filename is not None:
            response.headers["Content-Disposition"] = f'attachment; filename="{rendered.filename}"'
        return response

    return view


def _body(endpoint: Endpoint) -> bytes:
    """Read the body, never more of it than the route takes."""
    request.max_content_length = endpoint.terms.body_bytes
    try:
        return request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise BodyTooLarge(
            "The body is too large.",
            why=f"This route takes {endpoint.terms.body_bytes:,} bytes.",
            fix="Send less at once.",
        ) from error


def _answered(
    endpoint: Endpoint,
    call: Call,
    path: Mapping[str, str],
    body: bytes,
    render: Callable[[Any], Rendered],
) -> Rendered:
    given = arguments(
        endpoint, path, request.query_string.decode("latin-1"), request.content_type or "", body
    )
    header = request.headers.get(idempotency.HEADER)

    def handle() -> Rendered:
        return render(endpoint.handler(call=call, **given))

    is_nobody = endpoint.terms.needs is None  # "anybody" is no one caller
    if header is None or is_nobody or endpoint.method is not HTTPMethod.POST:
        with _unit(endpoint, call):
            return handle()
    key = idempotency.key_of(call.author.name, header)
    named = idempotency.request_hash(request.method, request.full_path.rstrip("?"), body)
    # A body may hold a password: its hash alone must not let anybody guess it.
    digest = hmac.digest(call.settings.api_key_pepper.get_secret_value().encode(), named, "sha256")
    keep = SEALED if endpoint.terms.has_secret else PLAIN
    once = Once(key=key, digest=digest, call=call, keep=keep)
    if endpoint.terms.unit is Unit.OWN:
        return once.around_own(handle)
    call.crowd = None
    with call.tenant() if endpoint.terms.unit is Unit.SHARED else _unit(endpoint, call):
        return once.inside(handle)


@contextmanager
def _unit(endpoint: Endpoint, call: Call) -> Iterator[None]:
    match endpoint.terms.unit:
        case Unit.TENANT:
            with call.tenant():
                yield
        case Unit.OPERATOR:
            with call.operator():
                yield
        case Unit.OWN | Unit.SHARED:
            yield


def _renderer(endpoint: Endpoint) -> Callable[[Any], Rendered]:
    status = int(endpoint.terms.status)
    if endpoint.answer is None:
        return lambda _nothing: Rendered(status=int(HTTPStatus.NO_CONTENT), body=b"")
    if is_raw(endpoint.answer):
        return lambda answer: _raw(status, answer)
    adapter: TypeAdapter[Any] = TypeAdapter(endpoint.answer)
    return lambda answer: Rendered(status=status, body=adapter.dump_json(answer))


def _raw(status: int, answer: Answer) -> Rendered:
    fields = {f.name: getattr(answer, f.name) for f in dataclasses.fields(answer)}
    return Rendered(status=status, **fields)
