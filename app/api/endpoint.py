"""How a route is declared: a typed function and what it needs. Serving and OpenAPI read the same.

    routes = Routes("queues", about="How an app's mail is ranked, limited and retried.")

    @routes.post("/v1/queues", needs=Scope.QUEUE_MANAGE)
    def create_queue(call: Call, body: NewQueueBody) -> QueueView:
        '''Create a queue.'''

The signature is the contract: `call` is who asks, `body` a pydantic model (or bytes), `query` a
pydantic model, every other parameter a part of the path; the return annotation is the answer.
"""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPMethod, HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter

from app.api.call import Answer
from app.tenancy.scopes import Scope

BODY_BYTES = 1_000_000

Handler = Callable[..., Any]


class Unit(StrEnum):
    """In which transaction a handler runs.

    TENANT: one, confined by row-level security to the caller's app. OPERATOR: one, over all apps;
    only for a super_admin. OWN: none; the handler opens short ones around what is slow. SHARED: as
    TENANT under an idempotency key; without one the handler joins the crowd of its app.
    """

    TENANT = "tenant"
    OPERATOR = "operator"
    OWN = "own"
    SHARED = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a route asks of its caller and of its body; `needs` None = open to everybody.

    `has_secret`: the answer carries a secret, which is sealed where it is kept for a replay.
    """

    needs: Scope | None
    unit: Unit = Unit.TENANT
    status: HTTPStatus = HTTPStatus.OK
    body_bytes: int = BODY_BYTES
    accepts: str = "application/json"
    has_secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route: its handler's signature, taken apart once."""

    method: HTTPMethod
    path: str
    tag: str
    terms: Terms
    handler: Handler
    body: type[BaseModel] | type[bytes] | None
    query: type[BaseModel] | None
    path_types: dict[str, TypeAdapter[Any]]
    answer: Any

    @property
    def name(self) -> str:
        """Return the operation id."""
        return self.handler.__name__

    @property
    def about(self) -> tuple[str, str]:
        """Return the summary and the description: first line and rest of the docstring."""
        summary, _, rest = (inspect.getdoc(self.handler) or "").partition("\n")
        return summary.rstrip("."), rest.strip()


@dataclass(slots=True)
class Routes:
    """The routes of one subject, in the order of their declaration."""

    tag: str
    about: str
    endpoints: list[Endpoint] = field(default_factory=list)

    def get(self, path: str, **terms: Any) -> Callable[[Handler], Handler]:
        """Declare a route that reads; `terms` are the fields of Terms, as for all methods."""
        return self._declare(HTTPMethod.GET, path, Terms(**terms))

    def post(self, path: str, **terms: Any) -> Callable[[Handler], Handler]:
        """Declare a route that makes or does something; it takes an Idempotency-Key."""
        return self._declare(HTTPMethod.POST, path, Terms(**terms))

    def patch(self, path: str, **terms: Any) -> Callable[[Handler], Handler]:
        """Declare a route that changes some fields."""
        return self._declare(HTTPMethod.PATCH, path, Terms(**terms))

    def put(self, path: str, **terms: Any) -> Callable[[Handler], Handler]:
        """Declare a route that sets the whole of a thing."""
        return self._declare(HTTPMethod.PUT, path, Terms(**terms))

    def delete(self, path: str, **terms: Any) -> Callable[[Handler], Handler]:
        """Declare a route that ends something."""
        return self._declare(HTTPMethod.DELETE, path, Terms(**terms))

    def _declare(self, method: HTTPMethod, path: str, terms: Terms) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.endpoints.append(_endpoint(self.tag, method, path, terms, handler))
            return handler

        return register


def _endpoint(tag: str, method: HTTPMethod, path: str, terms: Terms, handler: Handler) -> Endpoint:
    types = typing.get_type_hints(handler, include_extras=True)
    answer = types.pop("return")
    types.pop("call")
    return Endpoint(
        method=method,
        path=path,
        tag=tag,
        terms=terms,
        handler=handler,
        body=types.pop("body", None),
        query=types.pop("query", None),
        path_types={name: TypeAdapter(kind) for name, kind in types.items()},
        answer=None if answer is type(None) else answer,
    )


def is_raw(answer: Any) -> bool:
    """Return whether a handler writes the bytes of its answer itself."""
    return isinstance(answer, type) and issubclass(answer, Answer)
