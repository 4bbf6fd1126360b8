"""Hostile words in every place of every operation: refused with a problem, or taken as words."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.db.session import Session
from tests.api.conftest import Desk, Person
from tests.api.world import Operation, World, mail_of, operations, orders, populate

OPERATIONS = operations()
MARK = "zanzibar"
HOSTILE = (
    "' OR '1'='1' --",
    "1; DROP TABLE emails; --",
    "%s %(x)s {} {{7*7}} ${jndi:ldap://x}",
    "a\r\nBcc: evil@example.com",
    "a\x00b",
    "\ud7ff\uffff\u202e\u0000",
    "../../etc/passwd",
    "x" * 70_000,
    "=?utf-8?q?hello=0D=0ABcc:_evil@example.com?=",
)
BREAKS = ("a\r\nBcc: evil@example.com", "a\nb", "a\rb", "a\x00b", "a\x0bb", "a\x1bb")
KEPT = """
apps companies users api_keys smtp_configs email_accounts queues templates leads campaigns
messages batches emails scheduled_jobs suppression_list audit_logs idempotency_keys
"""
COUNTS = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in KEPT.split())


@pytest.fixture(scope="module")
def me(desk: Desk) -> Person:
    return desk.person()


@pytest.fixture(scope="module")
def world(desk: Desk, me: Person) -> World:
    return populate(desk, me, MARK)


def kept(session: Session) -> tuple[int, ...]:
    """Return how many rows each table has that a request may write."""
    row = session.execute(COUNTS).fetchone()
    assert row is not None
    return row


def assert_sound(answer: TestResponse) -> None:
    """An answer to hostile input is a success or a problem with a 4xx, never more of the inside."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.mimetype == "application/problem+json"
        assert answer.json["status"] == answer.status_code
        for inside in ("Traceback", "psycopg", "SELECT "):
            assert inside not in answer.text


def leaves(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the places of all strings in a body."""
    if isinstance(body, str):
        yield path
    items: Any = body.items() if isinstance(body, dict) else ()
    items = enumerate(body) if isinstance(body, list) else items
    for key, value in items:
        yield from leaves(value, (*path, key))


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return the body with another value at a place."""
    made = copy.deepcopy(body)
    part = made
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return made


def ask(who: Person, operation: Operation, path: str, body: Any) -> TestResponse:
    if "requestBody" not in operation.described:
        return who.ask(operation.method, path)
    return who.ask(operation.method, path, json=body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_hostile_words_in_path_query_and_body_are_refused_or_words(
    operation: Operation, desk: Desk, me: Person, world: World
) -> None:
    who = desk.operator(me.app_id) if "/users" in operation.path else me
    body = orders(world).get(operation.name)
    path = operation.at(world.values)
    for word in HOSTILE:
        quoted = "".join(f"%{byte:02x}" for byte in word.encode())
        for place in operation.places:
            values = world.values | {place: quoted[:9_000]}
            assert_sound(ask(who, operation, operation.at(values), body))
        for parameter in operation.described.get("parameters", ()):
            if parameter["in"] == "query":
                answer = ask(who, operation, f"{path}?{parameter['name']}={quoted[:9_000]}", body)
                assert_sound(answer)
        for place in leaves(body):
            before = kept(desk.session)
            answer = ask(who, operation, path, changed(body, place, word))
            assert_sound(answer)
            if answer.status_code >= 400 and operation.name != "login":
                assert kept(desk.session) == before, (place, answer.text)


@pytest.mark.parametrize(
    "operation", [op for op in OPERATIONS if "requestBody" in op.described], ids=lambda op: op.name
)
def test_a_body_that_is_no_body_is_a_problem(
    operation: Operation, desk: Desk, me: Person, world: World
) -> None:
    path = operation.at(world.values)
    before = kept(desk.session)
    body = orders(world).get(operation.name)
    bodies: dict[str, tuple[bytes, str]] = {
        "deep": (b"[" * 100_000, "application/json"),
        "deep object": (b'{"a":' * 50_000, "application/json"),
        "charset": (json.dumps(body).encode("utf-16"), "application/json; charset=utf-16"),
        "latin": ('{"name": "é"}'.encode("latin-1"), "application/json"),
        "xml": (b"<a/>", "application/xml"),
        "cut": (b'{"name": "a', "application/json"),
        "a number": (b"1e999", "application/json"),
        "unknown": (b'{"surely_not_a_field": 1}', "application/json"),
        "twice": (b'{"name": "\\ud800"}', "application/json"),
    }
    if operation.described["requestBody"]["content"].keys() != {"application/json"}:
        del bodies["a number"], bodies["unknown"], bodies["deep"], bodies["deep object"]
    for name, (data, kind) in bodies.items():
        answer = me.ask(operation.method, path, data=data, content_type=kind)
        assert_sound(answer)
        assert answer.status_code >= 400, (name, answer.text)
    assert kept(desk.session) == before


def test_a_body_beyond_its_size_is_too_large(me: Person) -> None:
    answer = me.ask("POST", "/v1/queues", data=b" " * 1_000_001, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def _party(word: str) -> dict[str, str]:
    return {"email": f"bob@{MARK}.example", "name": word}


HEADERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "subject": lambda word: {"subject": word},
    "from": lambda word: {"from": {"email": f"ann@{MARK}.example", "name": word}},
    "from address": lambda word: {"from": {"email": f"ann{word}@{MARK}.example"}},
    "to": lambda word: {"to": [_party(word)]},
    "to address": lambda word: {"to": [{"email": f"bob{word}@{MARK}.example"}]},
    "cc": lambda word: {"cc": [_party(word)]},
    "bcc": lambda word: {"bcc": [_party(word)]},
    "reply_to": lambda word: {"reply_to": [_party(word)]},
    "header": lambda word: {"headers": {"X-Word": word}},
    "header name": lambda word: {"headers": {f"X-{word}": "a"}},
    "filename": lambda word: {"attachments": [{"filename": word, "content": "YQ=="}]},
    "content type": lambda word: {
        "attachments": [{"filename": "a", "content": "YQ==", "content_type": word}]
    },
    "content id": lambda word: {
        "attachments": [{"filename": "a", "content": "YQ==", "content_id": word}]
    },
}


@pytest.mark.parametrize("place", HEADERS)
@pytest.mark.parametrize("word", [*BREAKS, "=?utf-8?q?a=0D=0ABcc:_e@example.com?="])
def test_no_line_break_gets_into_a_header(
    place: str, word: str, desk: Desk, me: Person, world: World
) -> None:
    del world
    before = kept(desk.session)
    answer = me.ask("POST", "/v1/emails", json=mail_of(MARK) | HEADERS[place](word))
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json"), answer.text
    assert kept(desk.session) == before


@pytest.mark.parametrize("word", BREAKS)
def test_no_line_break_gets_into_what_other_subjects_write_into_headers(
    word: str, desk: Desk, me: Person, world: World
) -> None:
    before = kept(desk.session)
    good = orders(world)
    for name, method, path, change in (
        ("create_email_account", "POST", "/v1/email-accounts", {"display_name": word}),
        ("create_scheduled_job", "POST", "/v1/scheduled-jobs", {"email": {"subject": word}}),
        ("save_template", "POST", "/v1/templates", {"subject": word}),
        ("schedule_mail", "POST", "/api/v1/schedule-mail", {"subject": word}),
    ):
        body = good[name] | change
        if "name" in body:
            body["name"] = f"hostile {MARK}"
        if "email" in change:
            body["email"] = good[name]["email"] | {"subject": word}
        answer = me.ask(method, path, json=body)
        assert answer.status_code == 422, (name, answer.text)
    assert kept(desk.session) == before
