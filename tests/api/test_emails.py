"""/v1/emails and seed 004's dialect over a real database: submit, look up, take back, try again."""

import base64
import concurrent.futures
import contextlib
import gzip
import uuid
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.api import emails, failures, mailer, people
from app.api.authentication import Door
from app.api.call import Outside
from app.api.serving import add_headers, register
from app.api.submitting import crowd_of
from app.audit import Author
from app.clock import utc_now
from app.config import Settings
from app.db import session as db
from app.lifecycle import ledger
from app.policy.request_limits import RequestLimiter
from app.proxies import TrustedProxies
from app.submission import batch
from app.tenancy import api_keys
from app.tenancy.api_keys import NewKey
from app.tenancy.keyring import Keyring
from app.tenancy.scopes import Scope
from tests import factories
from tests.factories import PEPPER

CLI = Author(name="cli")
KEY_PEPPER = "api key pepper for the tests"
MAIL = {
    "from": {"email": "test@example.org"},
    "to": [{"email": "user@example.com"}],
    "subject": "Test",
    "html": "<p>Hello</p>",
}


@pytest.fixture
def woken() -> list[UUID | None]:
    return []


@pytest.fixture
def web(settings: Settings, redis_url: str, woken: list[UUID | None]) -> Flask:
    chosen = settings.model_copy(update={"redis_url": redis_url})
    made = Flask("app", static_folder=None)
    failures.register(made)
    door = Door(
        settings=chosen,
        keyring=Keyring(KEY_PEPPER),
        read_person=people.reader(chosen),
        take_request=RequestLimiter(redis_url).take_request,
        proxies=TrustedProxies(""),
        crowd=crowd_of(chosen),
        outside=Outside(wake=woken.append),
    )
    register(made, [*emails.routes.endpoints, *mailer.routes.endpoints], door)
    made.after_request(add_headers)
    return made


@pytest.fixture
def client(web: Flask) -> Iterator[FlaskClient]:
    with web.test_client() as made:
        yield made
    db.close_thread_session()


@pytest.fixture
def app_id(session: db.Session) -> UUID:
    made = factories.make_app(session).id
    factories.make_smtp_config(session, made)
    return made


Bearer = Callable[..., dict[str, str]]


@pytest.fixture
def bearer(session: db.Session, app_id: UUID) -> Bearer:
    def make(*scopes: Scope, app: UUID = app_id, **fields: object) -> dict[str, str]:
        new = NewKey(app_id=app, name="test", scopes=scopes or (Scope.ADMIN,), **fields)
        return {"Authorization": f"Bearer {api_keys.create(session, KEY_PEPPER, new, CLI).text}"}

    return make


@pytest.fixture
def key(bearer: Bearer) -> dict[str, str]:
    return bearer()


def test_a_mail_is_taken_shown_cancelled_and_told(client, key, woken, session, app_id) -> None:
    answer = client.post("/v1/emails", json=MAIL, headers=key)
    assert answer.status_code == 202, answer.json
    assert answer.json["status"] == "scheduled"
    ((account,),) = session.execute("SELECT id FROM email_accounts").fetchall()
    assert woken == [account]
    where = f"/v1/emails/{answer.json['id']}"
    shown = client.get(where, headers=key).json
    assert (shown["from"], shown["subject"]) == ("test@example.org", "Test")
    assert [one["email"] for one in shown["recipients"]] == ["user@example.com"]
    assert client.delete(where, headers=key).json["status"] == "cancelled"
    again = client.delete(where, headers=key)
    assert (again.status_code, "cancelled" in again.json["title"]) == (409, True)
    told = client.get(f"{where}/events", headers=key).json["data"]
    assert [one["event"] for one in told] == ["queued", "cancelled"]
    assert ledger.of_app(session, app_id).off_by == 0


def test_one_id_names_all_copies(client, key) -> None:
    order = MAIL | {"cc": ["b@example.com"], "bcc": ["c@example.com"]}
    taken = client.post("/v1/emails", json=order, headers=key).json
    shown = client.get(f"/v1/emails/{taken['id']}", headers=key).json
    kinds = {one["email"]: one["kind"] for one in shown["recipients"]}
    assert kinds == {"user@example.com": "to", "b@example.com": "cc", "c@example.com": "bcc"}
    client.delete(f"/v1/emails/{taken['id']}", headers=key)
    listed = client.get("/v1/emails?status=cancelled", headers=key).json
    assert len(listed["data"]) == 3


def test_a_failed_mail_can_be_retried(client, key, session, woken) -> None:
    taken = client.post("/v1/emails", json=MAIL, headers=key).json
    where = f"/v1/emails/{taken['id']}/retry"
    assert client.post(where, headers=key).status_code == 409
    session.execute("UPDATE emails SET status = 'failed', due_at = NULL, reason = '550 no'")
    answer = client.post(where, headers=key)
    assert (answer.status_code, answer.json["status"]) == (202, "scheduled")
    assert len(woken) == 2


def test_another_apps_key_finds_nothing(client, key, bearer, session) -> None:
    taken = client.post("/v1/emails", json=MAIL, headers=key).json
    stranger = bearer(app=factories.make_app(session).id)
    where = f"/v1/emails/{taken['id']}"
    for method, path in (
        ("get", where),
        ("get", f"{where}/events"),
        ("get", f"{where}/explain"),
        ("delete", where),
        ("post", f"{where}/retry"),
        ("get", f"/api/v1/status/{taken['id']}"),
        ("delete", f"/api/v1/cancel/{taken['id']}"),
    ):
        answer = getattr(client, method)(path, headers=stranger)
        assert (path, answer.status_code) == (path, 404)
    assert client.get("/v1/emails", headers=stranger).json["data"] == []


@pytest.mark.parametrize(
    "unknown",
    [uuid.UUID(int=2**128 - 1), uuid.UUID(int=0), uuid.uuid4()],
)
def test_any_id_that_names_nothing_is_a_404(client, key, unknown) -> None:
    assert client.get(f"/v1/emails/{unknown}", headers=key).status_code == 404


def test_lists_turn_their_pages(client, key) -> None:
    for number in range(5):
        order = MAIL | {"to": f"u{number}@example.com", "tags": ["even"] if number % 2 == 0 else []}
        client.post("/v1/emails", json=order, headers=key)
    first = client.get("/v1/emails?limit=3", headers=key).json
    second = client.get(f"/v1/emails?limit=3&cursor={first['cursor']}", headers=key).json
    seen = [one["recipients"][0]["email"] for one in first["data"] + second["data"]]
    assert sorted(seen) == [f"u{number}@example.com" for number in range(5)]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert len(client.get("/v1/emails?tag=even", headers=key).json["data"]) == 3
    assert len(client.get("/v1/emails?to=u1@example.com", headers=key).json["data"]) == 1
    assert client.get("/v1/emails?since=2100-01-01", headers=key).json["data"] == []
    assert (
        len(client.get("/v1/emails?queue=default&status=scheduled", headers=key).json["data"]) == 5
    )


@pytest.mark.parametrize(
    "query", ["queue=nowhere", "since=0001-01-01", "to=nobody", "status=x", "cursor=%00", "limit=0"]
)
def test_a_query_that_cannot_be_used_is_a_422(client, key, query) -> None:
    assert client.get(f"/v1/emails?{query}", headers=key).status_code == 422


def test_explain_names_the_gates(client, key) -> None:
    taken = client.post("/v1/emails", json=MAIL, headers=key).json
    shown = client.get(f"/v1/emails/{taken['id']}/explain", headers=key).json
    assert "limits" in [gate["name"] for gate in shown["gates"]]


class _ThreadSession:
    """Ends the session of the thread that closes it."""

    def close(self) -> None:
        db.close_thread_session()


def test_two_hundred_identical_posts_make_one_mail(web, key, session) -> None:
    headers = key | {"Idempotency-Key": "once"}

    def post_25_times(_: int) -> set[tuple[int, bytes]]:
        with web.test_client() as own, contextlib.closing(_ThreadSession()):
            answers = [own.post("/v1/emails", json=MAIL, headers=headers) for _ in range(25)]
            return {(answer.status_code, answer.data) for answer in answers}

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = set().union(*pool.map(post_25_times, range(8)))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 202
    assert session.execute("SELECT count(*) FROM emails").fetchone() == (1,)


def test_a_batch_is_taken_expanded_and_shown(client, key, session, woken) -> None:
    people_ = [{"to": f"u{n}@example.com", "personalizations": {"name": n}} for n in range(30)]
    order = {name: value for name, value in MAIL.items() if name != "to"}
    order |= {
        "html": "<p>{{name}}</p>",
        "emails": [*people_, {"to": "nobody"}, {"to": "U1@example.com"}],
    }
    taken = client.post("/v1/emails/batch", json=order, headers=key)
    assert taken.status_code == 202, taken.json
    assert (taken.json["accepted"], len(taken.json["rejected"])) == (30, 2)
    assert woken == [None]
    batch.expand_open(session, PEPPER, utc_now(), 60)
    shown = client.get(f"/v1/batches/{taken.json['id']}", headers=key).json
    assert (shown["status"], shown["counts"]) == ("expanded", {"scheduled": 30})
    where = f"/v1/batches/{taken.json['id']}/rejected?limit=1"
    first = client.get(where, headers=key).json
    second = client.get(f"{where}&cursor={first['cursor']}", headers=key).json
    assert [one["data"][0]["pointer"] for one in (first, second)] == [
        "/emails/30/to",
        "/emails/31/to",
    ]
    assert (first["has_more"], second["has_more"]) == (True, False)
    listed = client.get(f"/v1/emails?batch_id={taken.json['id']}&limit=200", headers=key).json
    assert len(listed["data"]) == 30


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"to": [{"email": "user@example.com"}, {"email": "nobody"}]}, "/to/1/email"),
        ({"subject": None}, ""),
        ({"unknown": 1}, "/unknown"),
        ({"headers": {"Bcc": "x@example.com"}}, "/headers"),
        ({"headers": {"X-A": "=?utf-8?q?a=0D=0ABcc:_x?="}}, "/headers"),
        ({"metadata": {"n": 2**70}}, "/metadata"),
        ({"scheduled_at": "0001-01-01T00:00:00+05:00"}, ""),
        ({"scheduled_at": 5}, "/scheduled_at"),
        ({"timezone": "../etc/passwd"}, "/timezone"),
        ({"priority": 11}, "/priority"),
    ],
)
def test_what_is_wrong_is_pointed_at(client, key, fields, pointer) -> None:
    answer = client.post("/v1/emails", json=MAIL | fields, headers=key)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == pointer


def test_a_template_that_cannot_be_written_names_its_line(client, key) -> None:
    answer = client.post("/v1/emails", json=MAIL | {"html": "<p>{{ open"}, headers=key)
    assert (answer.status_code, answer.json["problems"][0]["part"]) == (422, "html")


def test_an_app_without_a_server_is_told_so(client, bearer, session) -> None:
    bare = bearer(app=factories.make_app(session).id)
    answer = client.post("/v1/emails", json=MAIL, headers=bare)
    assert (answer.status_code, answer.json["field"]) == (422, "from")


def test_an_app_sends_from_its_listed_domains_alone(client, key, session) -> None:
    session.execute("""UPDATE apps SET settings = '{"from_domains": ["shop.example"]}'""")
    assert client.post("/v1/emails", json=MAIL, headers=key).status_code == 422
    allowed = MAIL | {"from": "hi@shop.example"}
    assert client.post("/v1/emails", json=allowed, headers=key).status_code == 202


def test_a_key_that_only_reads_sends_nothing(client, bearer) -> None:
    reader = bearer(Scope.EMAIL_READ)
    assert client.post("/v1/emails", json=MAIL, headers=reader).status_code == 403


def test_a_test_key_simulates(client, bearer, session) -> None:
    client.post("/v1/emails", json=MAIL, headers=bearer(is_test=True))
    assert session.execute("SELECT is_simulated FROM messages").fetchone() == (True,)


def test_the_mailers_examples_run_as_written(client, key, session, app_id) -> None:
    factories.make_account(session, app_id)
    order = {
        "recipients": ["user@example.com"],
        "subject": "Scheduled Email",
        "body": "Email content",
        "html_body": "<h1>Email content</h1>",
        "scheduled_at": "2024-01-15T10:00:00Z",
        "max_retries": 3,
        "attachments": [
            {
                "filename": "document.pdf",
                "content": "base64-content",
                "contentType": "application/pdf",
            }
        ],
        "metadata": {"campaign_id": "campaign-123"},
    }
    taken = client.post("/api/v1/schedule-mail", json=order, headers=key).json
    assert taken["success"] is True, taken
    email_id = taken["data"]["id"]
    shown = client.get(f"/api/v1/status/{email_id}", headers=key).json
    assert (shown["success"], shown["data"]["status"]) == (True, "scheduled")
    listed = client.get(
        "/api/v1/scheduled-emails?status=pending&limit=20&offset=0", headers=key
    ).json
    assert [one["id"] for one in listed["data"]] == [email_id]
    stats = client.get("/api/v1/queue-stats", headers=key).json
    assert stats == {
        "success": True,
        "data": {"waiting": 1, "active": 0, "completed": 0, "failed": 0},
    }
    done = client.delete(f"/api/v1/cancel/{email_id}", headers=key).json
    assert done["data"]["status"] == "cancelled"
    sent = client.post("/api/v1/test-email", json={"to": "test@example.com"}, headers=key).json
    assert sent["data"]["status"] == "scheduled"


def test_the_mailer_refuses_what_only_the_whole_shows(client, key, session, app_id) -> None:
    factories.make_account(session, app_id)
    order = {"recipients": ["a@example.com"], "subject": "x"}
    assert client.post("/api/v1/schedule-mail", json=order, headers=key).status_code == 422
    twice = order | {"recipients": ["a@example.com", "A@example.com"], "body": "x"}
    assert client.post("/api/v1/schedule-mail", json=twice, headers=key).status_code == 422


def test_a_file_arrives_as_it_was(client, key, session) -> None:
    raw = gzip.compress(b"x" * 100)
    file = {"filename": "a.gz", "content": base64.b64encode(raw).decode()}
    client.post("/v1/emails", json=MAIL | {"attachments": [file]}, headers=key)
    assert session.execute("SELECT content FROM attachments").fetchone() == (raw,)
