"""Requests made from the document itself (schemathesis), by everybody who may come.

No answer is a 5xx, none has a status the document does not name, each has the shape it promises.
API_EXAMPLES=200 makes a long run of it: so many requests for each operation and way of making them.
"""

import contextlib
import os
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.specs.openapi import checks as promises

from app.tenancy.scopes import Scope
from tests.api.conftest import Desk
from tests.api.world import World, operations, orders, populate

EXAMPLES = int(os.environ.get("API_EXAMPLES", "5"))
CHECKS = [
    schemathesis.checks.not_a_server_error,
    promises.status_code_conformance,
    promises.content_type_conformance,
    promises.response_schema_conformance,
]
CALLERS = ("operator", "operator of an app", "admin", "reader", "nobody", "a liar")
Headers = dict[str, str]


@pytest.fixture(scope="module")
def described(desk: Desk) -> dict[str, APIOperation]:
    """The operations of the served document, by their ids."""
    schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", desk.client.application)
    found = [each.ok() for each in schema.get_all_operations()]
    return {each.definition.raw["operationId"]: each for each in found}


@pytest.fixture(scope="module")
def world(desk: Desk) -> World:
    return populate(desk, desk.person(), "zanzibar")


@pytest.fixture(scope="module")
def callers(desk: Desk, world: World) -> dict[str, Headers]:
    app_id = UUID(world.values["app_id"])
    sent = (
        desk.operator().headers,
        desk.operator(app_id).headers,
        desk.colleague(app_id).headers,
        desk.colleague(app_id, Scope.EMAIL_READ).headers,
        {},
        {"Authorization": "Bearer mq_live_0000000000000000_wrong"},
    )
    return dict(zip(CALLERS, sent, strict=True))


def aimed(case: Case, world: World, body: Any) -> None:
    """Aim a case at what there is: the ids of the world in its path, a good body."""
    for name in case.path_parameters or {}:
        case.path_parameters[name] = world.values[name]
    if body is not None and isinstance(case.body, dict):
        case.body = body | {k: v for k, v in case.body.items() if k not in body}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("name", [each.name for each in operations()])
def test_no_answer_breaks_the_contract(
    name: str,
    mode: GenerationMode,
    described: dict[str, APIOperation],
    world: World,
    callers: dict[str, Headers],
) -> None:
    body = orders(world).get(name)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def examine(data: st.DataObject) -> None:
        case = data.draw(described[name].as_strategy(generation_mode=mode))
        who = data.draw(st.sampled_from(CALLERS))
        if data.draw(st.booleans()):
            aimed(case, world, body)
        case.headers.pop("Authorization", None)
        case.headers.pop("X-App-Id", None)
        answer = case.call(headers=callers[who])
        case.validate_response(answer, checks=CHECKS)

    # An operation that takes nothing cannot be called in a wrong way.
    excused = (Unsatisfiable,) if mode is GenerationMode.NEGATIVE else ()
    with contextlib.suppress(*excused):
        examine()
