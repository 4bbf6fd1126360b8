"""Every endpoint, walked with another tenant's key: nothing of the first tenant shows."""

import collections
import json
import uuid
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.api.conftest import Desk, Person
from tests.api.world import Operation, World, operations, orders, populate

MARK = "zanzibar"
STRANGE = "lummerland"
NOBODY = "xanadu00"
OPERATIONS = operations()
# A person is nobody's thing: every app is answered about anybody, from what it keeps itself.
PEOPLE = [each for each in OPERATIONS if each.path.startswith("/v1/gdpr/") and each.places]
NAMED = [each for each in OPERATIONS if each.places and each not in PEOPLE]
_NAMING = orders(World(mark="", values=collections.defaultdict(str))).keys() - {"rotate_api_key"}


@pytest.fixture(scope="module")
def owner(desk: Desk) -> Person:
    return desk.person()


@pytest.fixture(scope="module")
def theirs(desk: Desk, owner: Person) -> World:
    return populate(desk, owner, MARK)


@pytest.fixture(scope="module")
def stranger(desk: Desk) -> Person:
    return desk.person()


@pytest.fixture(scope="module")
def own(desk: Desk, stranger: Person) -> World:
    return populate(desk, stranger, STRANGE)


def nothings(world: World) -> dict[str, str]:
    """Return for each path parameter a name of the same form and length that names nothing."""
    return {name: _like(value) for name, value in world.values.items()}


def _like(value: str) -> str:
    try:
        uuid.UUID(value)
    except ValueError:
        return value if value.isdigit() else value.replace(MARK, NOBODY)
    return str(uuid.uuid4())


def ask(who: Person, operation: Operation, values: dict[str, str], body: Any) -> TestResponse:
    """Call an operation with the ids of `values`, a body where it takes one."""
    sent: dict[str, Any] = {}
    kinds = operation.described.get("requestBody", {}).get("content", {})
    if "application/json" in kinds:
        sent["json"] = body
    elif kinds:
        sent = {"data": b"email\n", "content_type": next(iter(kinds))}
    return who.ask(operation.method, operation.at(values), **sent)


def without(text: str, values: dict[str, str]) -> str:
    """Return an answer without the ids it was asked about."""
    for name, value in values.items():
        if name != "version":
            text = text.replace(value, name).replace(value.replace("@", "%40"), name)
    return text


def test_the_world_has_one_of_everything_a_path_or_a_body_names(theirs: World) -> None:
    named = {place for operation in OPERATIONS for place in operation.places}
    assert named <= theirs.values.keys(), "make one in tests/api/world.py"
    bodies = {
        each.name
        for each in OPERATIONS
        if "application/json" in each.described.get("requestBody", {}).get("content", {})
    }
    assert bodies <= orders(theirs).keys(), "write a good body in tests/api/world.py"


@pytest.mark.parametrize("operation", NAMED, ids=lambda each: each.name)
def test_a_foreign_id_is_answered_as_one_that_names_nothing(
    operation: Operation, theirs: World, own: World, stranger: Person
) -> None:
    body = orders(own).get(operation.name)
    foreign = ask(stranger, operation, theirs.values, body)
    random = nothings(theirs)
    nowhere = ask(stranger, operation, random, body)
    assert foreign.status_code in {403, 404}, foreign.text
    assert foreign.status_code == nowhere.status_code
    assert without(foreign.text, theirs.values) == without(nowhere.text, random)


@pytest.mark.parametrize("operation", PEOPLE, ids=lambda each: each.name)
def test_a_person_only_another_tenant_knows_is_unknown(
    operation: Operation, theirs: World, stranger: Person
) -> None:
    answer = ask(stranger, operation, theirs.values, None)
    said = answer.text.replace(theirs.values["email"], "")
    assert not [word for word in theirs.telling if word in said]


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if not each.places and each.method == "GET"],
    ids=lambda each: each.name,
)
def test_a_list_shows_nothing_of_another_tenant(
    operation: Operation, theirs: World, own: World, stranger: Person
) -> None:
    del own
    queries = [""]
    for parameter in operation.described.get("parameters", ()):
        name = parameter["name"]
        if parameter["in"] == "query" and (name in theirs.values or name in {"queue", "tag", "to"}):
            said = {"queue": f"{MARK}%20queue", "tag": MARK, "to": f"bob@{MARK}.example"}
            queries.append(f"?{name}={said.get(name) or theirs.values[name]}")
    for query in queries:
        answer = stranger.ask("GET", operation.path + query)
        assert answer.status_code in {200, 403, 404, 422}, answer.text
        if answer.status_code == 200:
            told = [word for word in theirs.telling if word in answer.text]
            assert not told, (query, answer.text)


def _borrowed(body: Any, own: World, other: World) -> Any:
    """Return a body of one's own that names the things of another world by id, and by name."""
    text = json.dumps(body)
    for name, value in own.values.items():
        if name != "version":
            text = text.replace(value, other.values[name])
    return json.loads(text.replace(STRANGE, other.mark))


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.name in _NAMING],
    ids=lambda each: each.name,
)
def test_a_body_that_names_another_tenants_things_is_answered_as_one_that_names_nothing(
    operation: Operation, theirs: World, own: World, stranger: Person
) -> None:
    body = orders(own).get(operation.name)
    foreign = ask(stranger, operation, own.values, _borrowed(body, own, theirs))
    random = nothings(theirs)
    imaginary = World(mark=NOBODY, values=random)
    nowhere = ask(stranger, operation, own.values, _borrowed(body, own, imaginary))
    assert foreign.status_code == nowhere.status_code, (foreign.text, nowhere.text)
    if foreign.status_code >= 400:
        assert without(foreign.text, theirs.values).replace(MARK, "") == without(
            nowhere.text, random
        ).replace(NOBODY, "")
    told = {theirs.values[name] for name in ("email_id", "campaign_id", "lead_id", "user_id")}
    assert not [each for each in told if each in foreign.text]


def test_the_walk_left_the_first_tenants_things_as_they_were(theirs: World, owner: Person) -> None:
    for operation in OPERATIONS:
        if operation.method == "GET" and operation.places:
            shown = owner.ask("GET", operation.at(theirs.values))
            assert shown.status_code in {200, 403}, (operation.path, shown.text)
    queue = owner.get(f"/v1/queues/{theirs.values['queue_id']}")
    assert queue["name"] == f"{MARK} queue"
    assert owner.get(f"/v1/emails/{theirs.values['email_id']}")["status"] != "cancelled"
