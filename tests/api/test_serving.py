"""The door and the desk of every route: who may, what is read, what is done once, how it is said."""

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Annotated

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from app.api import failures, guesses, people
from app.api.authentication import Door
from app.api.call import Call, Csv
from app.api.endpoint import Routes, Unit
from app.api.openapi import document
from app.api.paging import Page, PageQuery, page
from app.api.serving import add_headers, register
from app.api.submitting import crowd_of
from app.audit import Author
from app.config import Settings
from app.db import session as db
from app.errors import Conflict
from app.policy.request_limits import RequestLimiter
from app.proxies import TrustedProxies
from app.tenancy import api_keys
from app.tenancy.api_keys import NewKey
from app.tenancy.keyring import Keyring
from app.tenancy.scopes import Scope
from tests import factories

OPERATOR = "operator-secret-of-the-tests"
CLI = Author(name="cli")
PEPPER = "api key pepper for the tests"


class NewCompany(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=20)]
    tags: list[Annotated[str, Field(max_length=5)]] = []


class Company(BaseModel):
    id: uuid.UUID
    name: str


def routes_of(effects: list[str]) -> Routes:
    routes = Routes("companies", about="Companies of an app.")

    @routes.post("/v1/companies", needs=Scope.QUEUE_MANAGE, status=HTTPStatus.CREATED)
    def create_company(call: Call, body: NewCompany) -> Company:
        """Create a company."""
        call.after_commit.append(lambda: effects.append(body.name))
        made = uuid.uuid4()
        call.session.execute(
            "INSERT INTO companies (id, app_id, name) VALUES (%s, %s, %s)",
            (made, call.app_id, body.name),
        )
        if body.name == "refused":
            raise Conflict("It is refused.", why="It is called so.", fix="Choose another name.")
        return Company(id=made, name=body.name)

    @routes.get("/v1/companies", needs=Scope.EMAIL_READ)
    def list_companies(call: Call, query: PageQuery) -> Page[Company]:
        """List companies."""
        rows = call.session.execute(
            "SELECT id, name FROM companies WHERE %(after)s::uuid IS NULL OR id > %(after)s "
            "ORDER BY id LIMIT %(limit)s",
            {"after": query.after_id, "limit": query.limit + 1},
        ).fetchall()
        return page(rows, query, lambda r: Company(id=r[0], name=r[1]), lambda row: row[0])

    @routes.get("/v1/companies/{company_id}", needs=Scope.EMAIL_READ)
    def get_company(call: Call, company_id: uuid.UUID) -> Company:
        """Show a company."""
        del call
        return Company(id=company_id, name="any")

    @routes.post("/v1/companies/import", needs=Scope.QUEUE_MANAGE, accepts="text/csv")
    def import_companies(call: Call, body: bytes) -> Csv:
        """Give the table back."""
        del call
        return Csv(body=body)

    @routes.delete("/v1/companies/{company_id}", needs=Scope.ADMIN)
    def delete_company(call: Call, company_id: uuid.UUID) -> None:
        """Delete a company."""
        call.session.execute("DELETE FROM companies WHERE id = %s", (company_id,))

    @routes.get("/v1/everything", needs=Scope.ADMIN, unit=Unit.OPERATOR)
    def count_everything(call: Call) -> dict[str, int]:
        """Count the companies of all apps."""
        row = call.session.execute("SELECT count(*) FROM companies").fetchone()
        return {"companies": row[0] if row else 0}

    return routes


@pytest.fixture
def effects() -> list[str]:
    return []


@pytest.fixture
def client(settings: Settings, redis_url: str, effects: list[str]) -> Iterator[FlaskClient]:
    chosen = settings.model_copy(
        update={"redis_url": redis_url, "admin_secret": SecretStr(OPERATOR)}
    )
    web = Flask("app", static_folder=None)
    failures.register(web)
    door = Door(
        settings=chosen,
        keyring=Keyring(PEPPER),
        read_person=people.reader(chosen),
        take_request=RequestLimiter(redis_url).take_request,
        proxies=TrustedProxies("127.0.0.0/8"),
        crowd=crowd_of(chosen),
    )
    register(web, routes_of(effects).endpoints, door)
    web.after_request(add_headers)
    with web.test_client() as made:
        yield made
    db.close_thread_session()


Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def bearer(session: db.Session) -> Bearer:
    """Make an app with a key; returns the header that carries it."""

    def make(*scopes: Scope, **fields: object) -> dict[str, str]:
        app = factories.make_app(session)
        new = NewKey(app_id=app.id, name="test", scopes=scopes or (Scope.ADMIN,), **fields)
        return {"Authorization": f"Bearer {api_keys.create(session, PEPPER, new, CLI).text}"}

    return make


def test_whoever_guesses_the_operators_secret_is_not_heard_for_a_while(client, bearer):
    def ask(secret: str, address: str) -> int:
        headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": address}
        return client.get("/v1/everything", headers=headers).status_code

    told = [ask(f"guess {n}", "192.0.2.7") for n in range(guesses.PER_MINUTE + 10)]
    assert told[: guesses.PER_MINUTE] == [401] * guesses.PER_MINUTE
    assert told[-1] == 429
    assert ask(OPERATOR, "192.0.2.7") == 429
    of_one_party = [ask("guess", f"2001:db8::{n:x}") for n in range(guesses.PER_MINUTE + 10)]
    assert of_one_party[-1] == 429
    assert ask(OPERATOR, "2001:db8:0:1::1") == 200
    assert ask(OPERATOR, "192.0.2.8") == 200
    key = bearer() | {"X-Forwarded-For": "192.0.2.7"}
    assert client.get("/v1/companies", headers=key).status_code == 200


def test_what_a_handler_made_is_committed_and_told_afterwards(client, bearer, effects):
    auth = bearer()
    answer = client.post("/v1/companies", json={"name": "Acme"}, headers=auth)
    assert (answer.status_code, answer.json["name"]) == (201, "Acme")
    assert effects == ["Acme"]
    listed = client.get("/v1/companies", headers=auth).json
    assert [each["name"] for each in listed["data"]] == ["Acme"]


def test_a_refusal_rolls_everything_back_and_tells_nobody(client, bearer, effects):
    auth = bearer()
    answer = client.post("/v1/companies", json={"name": "refused"}, headers=auth)
    assert answer.status_code == 409
    assert answer.content_type == "application/problem+json"
    assert answer.json["fix"] == "Choose another name."
    assert effects == []
    assert client.get("/v1/companies", headers=auth).json["data"] == []


def test_another_app_sees_nothing_even_through_a_query_without_an_app(client, bearer):
    client.post("/v1/companies", json={"name": "Acme"}, headers=bearer())
    assert client.get("/v1/companies", headers=bearer()).json["data"] == []


@pytest.mark.parametrize("token", ["", "mq_live_abc_def", "a.b.c", "guess", "\xff"])
def test_who_proves_nothing_is_unauthorized(client, token):
    headers = {"Authorization": f"Bearer {token}"}
    answer = client.get("/v1/companies", headers=headers)
    assert (answer.status_code, answer.json["code"]) == (401, "unauthorized")


def test_a_key_without_the_scope_is_forbidden(client, bearer):
    answer = client.post("/v1/companies", json={"name": "A"}, headers=bearer(Scope.EMAIL_READ))
    assert answer.status_code == 403
    assert "queue:manage" in answer.json["title"]


def test_a_key_is_good_only_from_its_networks_behind_a_trusted_proxy(client, bearer):
    auth = bearer(networks=("198.51.100.0/24",))
    at_home = auth | {"X-Forwarded-For": "198.51.100.7"}
    assert client.get("/v1/companies", headers=at_home).status_code == 200
    assert client.get("/v1/companies", headers=auth).status_code == 403
    forged = auth | {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}
    assert client.get("/v1/companies", headers=forged).status_code == 403


def test_too_many_requests_are_told_when_to_come_back(client, bearer):
    auth = bearer(per_minute=3)
    answers = [client.get("/v1/companies", headers=auth) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[0].headers["X-RateLimit-Limit"] == "3"
    assert answers[0].headers["X-RateLimit-Remaining"] == "2"
    assert 0 < int(answers[3].headers["Retry-After"]) <= 60


def test_the_operator_reaches_all_apps_and_names_one(client, bearer, session):
    client.post("/v1/companies", json={"name": "Acme"}, headers=bearer())
    operator = {"Authorization": f"Bearer {OPERATOR}"}
    assert client.get("/v1/everything", headers=operator).json == {"companies": 1}
    assert client.get("/v1/everything", headers=bearer()).status_code == 403
    unnamed = client.get("/v1/companies", headers=operator)
    assert (unnamed.status_code, unnamed.json["field"]) == (422, "X-App-Id")
    app = session.execute("SELECT app_id FROM companies").fetchone()[0]
    named = client.get("/v1/companies", headers=operator | {"X-App-Id": str(app)})
    assert len(named.json["data"]) == 1


def test_every_wrong_field_is_pointed_at(client, bearer):
    body = {"name": "", "tags": ["ok", "far too long"], "more": 1}
    answer = client.post("/v1/companies", json=body, headers=bearer())
    assert answer.status_code == 422
    assert {each["pointer"] for each in answer.json["errors"]} == {"/name", "/tags/1", "/more"}
    assert "far too long" not in answer.text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b'{"name": "A"}', "application/x-www-form-urlencoded", 201),
        (b'{"name": "A"}', "application/json; charset=utf-8", 201),
        (b'{"name": "A"}', "application/json; charset=utf-16", 415),
        (b'{"name": "A"}', "application/xml", 415),
        (b'{"name": ', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"name": "\\u0000"}', "application/json", 422),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b'{"name":' + b"[" * 100_000, "application/json", 400),
        (b"[1]", "application/json", 422),
        (b"x" * 1_000_001, "application/json", 413),
    ],
)
def test_a_body_is_read_or_refused_with_the_right_status(
    client, bearer, body, content_type, status
):
    answer = client.post("/v1/companies", data=body, content_type=content_type, headers=bearer())
    assert answer.status_code == status
    if status >= 400:
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/companies?limit=0",
        "/v1/companies?limit=x",
        "/v1/companies?limit=2&limit=3",
        "/v1/companies?cursor=%00",
        "/v1/companies?cursor=%F0%F0",
        "/v1/companies?more=1",
    ],
)
def test_a_query_that_cannot_be_used_is_refused(client, bearer, path):
    assert client.get(path, headers=bearer()).status_code == 422


@pytest.mark.parametrize("name", ["no-uuid", "%00", "..%2f", "1" * 5_000])
def test_what_is_no_id_is_not_found(client, bearer, name):
    assert client.get(f"/v1/companies/{name}", headers=bearer()).status_code == 404


def test_pages_follow_each_other_without_gap_or_repetition(client, bearer):
    auth = bearer()
    for number in range(5):
        client.post("/v1/companies", json={"name": f"C{number}"}, headers=auth)
    seen, cursor = [], ""
    while True:
        found = client.get(f"/v1/companies?limit=2{cursor}", headers=auth).json
        seen += [each["name"] for each in found["data"]]
        if not found["has_more"]:
            break
        cursor = f"&cursor={found['cursor']}"
    assert sorted(seen) == ["C0", "C1", "C2", "C3", "C4"]
    assert found["cursor"] is None


def test_the_same_key_does_it_once_and_answers_the_same(client, bearer, effects):
    auth = bearer() | {"Idempotency-Key": "one"}
    first = client.post("/v1/companies", json={"name": "Acme"}, headers=auth)
    again = client.post("/v1/companies", json={"name": "Acme"}, headers=auth)
    assert (first.data, first.status_code) == (again.data, again.status_code)
    assert effects == ["Acme"]
    other = client.post("/v1/companies", json={"name": "Other"}, headers=auth)
    assert (other.status_code, other.json["code"]) == (409, "idempotency_key_reused")


def test_a_table_goes_in_and_out(client, bearer):
    answer = client.post(
        "/v1/companies/import", data=b"a,b\n", content_type="text/csv", headers=bearer()
    )
    assert (answer.data, answer.content_type) == (b"a,b\n", "text/csv; charset=utf-8")


def test_every_answer_names_its_request(client, bearer):
    answer = client.get("/v1/companies", headers=bearer() | {"X-Request-Id": "mine-1"})
    assert answer.headers["X-Request-Id"] == "mine-1"
    forged = client.get("/v1/companies", headers={"X-Request-Id": "bad id"})
    assert uuid.UUID(forged.headers["X-Request-Id"])


def test_expired_keys_open_nothing(client, bearer, session):
    auth = bearer(expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    session.execute("UPDATE api_keys SET expires_at = now() - interval '1 s'")
    assert client.get("/v1/companies", headers=auth).status_code == 401


def test_the_document_says_what_the_routes_do():
    paths = document([routes_of([])], "1.2.3")["paths"]
    create = paths["/v1/companies"]["post"]
    assert create["operationId"] == "create_company"
    assert "Idempotency-Key" in {each["name"] for each in create["parameters"]}
    schema = create["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/NewCompany"}
    assert set(create["responses"]) >= {"201", "400", "401", "403", "409", "422", "429", "503"}
    assert {each["name"] for each in paths["/v1/companies"]["get"]["parameters"]} >= {"limit"}
