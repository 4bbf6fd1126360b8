"""Apps, keys, people, queues, servers and senders over HTTP, as an operator and as two tenants."""

import uuid
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from app.clock import utc_now
from app.config import Settings
from app.db import session as db
from app.db.session import Session
from app.tenancy import users
from app.tenancy.scopes import Role
from app.tenancy.users import NewUser
from app.wsgi import create_app
from tests.factories import AUTHOR

OPERATOR = "admin secret for the tests"
SECRET = "correct horse battery staple"


class Caller:
    """Somebody with a token."""

    def __init__(self, client: FlaskClient, token: str, **headers: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} | headers

    def __call__(self, method: str, path: str, body: object = None, **headers: str):
        given = {} if body is None else {"json": body}
        return self._client.open(path, method=method, headers=self._headers | headers, **given)


@pytest.fixture
def client(settings: Settings, redis_url: str) -> Iterator[FlaskClient]:
    chosen = settings.model_copy(
        update={"redis_url": redis_url, "default_smtp_url": "smtp://127.0.0.1:1025"}
    )
    yield create_app(chosen).test_client()
    db.close_thread_session()


@pytest.fixture
def operator(client: FlaskClient) -> Caller:
    return Caller(client, OPERATOR)


@pytest.fixture
def born(operator: Caller) -> dict:
    answer = operator("POST", "/v1/apps", {"name": "Test App"})
    assert answer.status_code == 201, answer.text
    return answer.json


@pytest.fixture
def shop(client: FlaskClient, born: dict) -> Caller:
    return Caller(client, born["api_key"])


@pytest.fixture
def forum(client: FlaskClient, operator: Caller) -> Caller:
    return Caller(client, operator("POST", "/v1/apps", {"name": "forum"}).json["api_key"])


def test_the_seeds_curls_make_an_app_a_queue_and_a_mail(client: FlaskClient):
    # curl -d without -H says form-urlencoded.
    kind = "application/x-www-form-urlencoded"
    app = client.post(
        "/v1/apps",
        headers={"Authorization": f"Bearer {OPERATOR}"},
        data='{"name": "Test App"}',
        content_type=kind,
    )
    assert app.status_code == 201, app.text
    queue = client.post(
        "/v1/queues",
        headers={"Authorization": f"Bearer {app.json['api_key']}"},
        data='{"name": "transactional", "priority": 7}',
        content_type=kind,
    )
    assert queue.status_code == 201, queue.text
    assert (queue.json["name"], queue.json["priority"]) == ("transactional", 7)
    mail = client.post(
        "/v1/emails",
        headers={"Authorization": f"Bearer {app.json['api_key']}"},
        data='{"queue": "transactional", "from": {"email": "test@example.com"}, '
        '"to": [{"email": "user@example.com"}], "subject": "Test", "html": "<p>Hello</p>"}',
        content_type=kind,
    )
    assert mail.status_code in {201, 202}, mail.text


def test_only_the_operator_makes_apps(shop: Caller):
    assert shop("POST", "/v1/apps", {"name": "another"}).status_code == 403
    assert shop("GET", "/v1/apps").status_code == 403


def test_a_sandbox_app_gets_a_test_key(operator: Caller):
    made = operator("POST", "/v1/apps", {"name": "play", "is_sandbox": True}).json
    assert made["is_sandbox"]
    assert made["api_key"].startswith("mq_test_")


def test_an_app_sees_itself_and_nobody_else(operator: Caller, shop: Caller, born: dict):
    assert shop("GET", f"/v1/apps/{born['id']}").json["name"] == "Test App"
    other = operator("POST", "/v1/apps", {"name": "other"}).json
    assert shop("GET", f"/v1/apps/{other['id']}").status_code == 404
    assert {app["name"] for app in operator("GET", "/v1/apps").json["data"]} == {
        "Test App",
        "other",
    }


def test_an_app_is_limited_and_suspended(operator: Caller, born: dict):
    path = f"/v1/apps/{born['id']}"
    changed = operator("PATCH", path, {"daily_quota": 500, "settings": {"attachments_most": 2}})
    assert changed.json["daily_quota"] == 500
    assert changed.json["name"] == "Test App"
    assert operator("PATCH", path, {"status": "suspended"}).json["status"] == "suspended"
    assert operator("PATCH", path, {"status": "gone"}).status_code == 422
    assert operator("PATCH", path, {"settings": {"anything": 1}}).status_code == 422


def test_an_app_says_after_how_many_soft_bounces_it_stops(operator: Caller, born: dict):
    path = f"/v1/apps/{born['id']}"
    rule = {"limit": 3, "days": 7}
    assert operator("PATCH", path, {"settings": {"soft_bounces": rule}}).json["settings"] == {
        "soft_bounces": rule
    }
    for wrong in ({"limit": 0, "days": 7}, {"limit": 3}):
        assert operator("PATCH", path, {"settings": {"soft_bounces": wrong}}).status_code == 422
    assert operator("PATCH", path, {"settings": {"soft_bounces": None}}).json["settings"] == {}


def test_an_empty_app_is_deleted(operator: Caller, born: dict):
    assert operator("DELETE", f"/v1/apps/{born['id']}").status_code == 204
    assert operator("GET", f"/v1/apps/{born['id']}").status_code == 404


def test_a_queue_lives_its_life(shop: Caller):
    queue = shop("POST", "/v1/queues", {"name": "news", "per_minute": 100}).json
    path = f"/v1/queues/{queue['id']}"
    assert shop("GET", path).json == queue
    changed = shop("PATCH", path, {"per_minute": None, "retry_delays_s": [5]}).json
    assert (changed["per_minute"], changed["retry_delays_s"]) == (None, [5])
    for verb, status in (("pause", "paused"), ("drain", "draining"), ("resume", "active")):
        assert shop("POST", f"{path}/{verb}").json["status"] == status
    stats = shop("GET", f"{path}/stats").json
    assert (stats["waiting"], stats["sent_last_hour"], stats["counts"]) == (0, 0, {})
    assert shop("DELETE", path).status_code == 204
    assert shop("GET", path).status_code == 404


def test_a_second_queue_of_a_name_is_a_conflict(shop: Caller):
    again = shop("POST", "/v1/queues", {"name": "default"})
    assert again.status_code == 409
    assert again.json["field"] == "name"


@pytest.mark.parametrize("body", [{"name": "x", "priority": 11}, {"name": ""}, {}, {"nme": "x"}])
def test_a_queue_that_makes_no_sense_points_at_its_field(shop: Caller, body: dict):
    refused = shop("POST", "/v1/queues", body)
    assert refused.status_code == 422
    assert refused.content_type == "application/problem+json"


def test_keys_are_made_listed_masked_rotated_and_revoked(client: FlaskClient, shop: Caller):
    made = shop(
        "POST", "/v1/api-keys", {"name": "reader", "scopes": ["email:read", "queue:manage"]}
    ).json
    reader = Caller(client, made["key"])
    assert reader("GET", "/v1/queues").status_code == 200
    assert reader("GET", "/v1/api-keys").status_code == 403
    listed = shop("GET", "/v1/api-keys").json["data"]
    secret = made["key"].rpartition("_")[2]
    assert secret not in str(listed)
    path = f"/v1/api-keys/{made['details']['id']}"
    rotated = shop("POST", f"{path}/rotate", {"grace_s": 60}).json
    assert rotated["details"]["scopes"] == ["email:read", "queue:manage"]
    assert shop("DELETE", path).status_code == 204
    assert Caller(client, rotated["key"])("GET", "/v1/queues").status_code == 200


def test_a_revoked_key_is_refused_by_a_fresh_process(
    shop: Caller, settings: Settings, redis_url: str
):
    made = shop("POST", "/v1/api-keys", {"name": "one", "scopes": ["queue:manage"]}).json
    shop("DELETE", f"/v1/api-keys/{made['details']['id']}")
    other = create_app(settings.model_copy(update={"redis_url": redis_url})).test_client()
    assert Caller(other, made["key"])("GET", "/v1/queues").status_code == 401


def test_a_key_with_networks_is_refused_from_elsewhere(client: FlaskClient, shop: Caller):
    body = {"name": "x", "scopes": ["queue:manage"], "allowed_networks": ["192.0.2.0/24"]}
    made = shop("POST", "/v1/api-keys", body).json
    assert made["details"]["allowed_networks"] == ["192.0.2.0/24"]
    assert Caller(client, made["key"])("GET", "/v1/queues").status_code == 403


def test_a_server_never_shows_its_password(shop: Caller):
    body = {"name": "relay", "host": "mail.example.com", "username": "ana", "password": "hush-hush"}
    made = shop("POST", "/v1/smtp-configs", body)
    assert made.status_code == 201
    path = f"/v1/smtp-configs/{made.json['id']}"
    seen = [made, shop("GET", path), shop("GET", "/v1/smtp-configs")]
    seen += [shop("GET", "/v1/audit-logs")]
    assert all("hush-hush" not in answer.text for answer in seen)
    assert seen[1].json["has_password"]


def test_a_password_does_not_follow_a_server_to_another_host(shop: Caller):
    body = {"name": "relay", "host": "mail.example.com", "username": "ana", "password": "hush"}
    path = f"/v1/smtp-configs/{shop('POST', '/v1/smtp-configs', body).json['id']}"
    assert shop("PATCH", path, {"connections": 2}).json["connections"] == 2
    refused = shop("PATCH", path, {"host": "evil.example.com"})
    assert (refused.status_code, refused.json["field"]) == (422, "/password")
    moved = {"host": "new.example.com", "password": "hush"}
    assert shop("PATCH", path, moved).json["host"] == "new.example.com"


def test_a_test_of_a_server_shows_each_step_in_our_words(shop: Caller):
    body = {"name": "nobody", "host": "127.0.0.1", "port": 1, "security": "none"}
    path = f"/v1/smtp-configs/{shop('POST', '/v1/smtp-configs', body).json['id']}"
    probed = shop("POST", f"{path}/test", {}).json
    assert not probed["ok"]
    assert [(step["name"], step["ok"]) for step in probed["steps"]] == [
        ("resolve", True),
        ("connect", False),
    ]
    assert probed["steps"][1]["text"] == "The host does not answer on this port."


def test_a_sender_lives_its_life(shop: Caller, born: dict):
    company = shop("POST", "/v1/companies", {"name": "Acme"}).json
    body = {
        "address": "ana@shop.example",
        "smtp_config_id": born["smtp_config_id"],
        "company_id": company["id"],
        "hourly_limit": 50,
        "warmup_started_on": "2026-01-01",
        "warmup_daily_start": 20,
        "warmup_growth": 1.5,
    }
    made = shop("POST", "/v1/email-accounts", body)
    assert made.status_code == 201, made.text
    path = f"/v1/email-accounts/{made.json['id']}"
    assert shop("PATCH", path, {"hourly_limit": None}).json["hourly_limit"] is None
    assert shop("POST", f"{path}/pause").json["status"] == "paused"
    assert shop("POST", f"{path}/resume").json["status"] == "active"
    assert shop("DELETE", f"/v1/companies/{company['id']}").status_code == 409
    assert shop("DELETE", f"/v1/smtp-configs/{born['smtp_config_id']}").status_code == 409
    assert shop("DELETE", path).status_code == 204
    assert shop("DELETE", f"/v1/companies/{company['id']}").status_code == 204


def test_a_person_signs_in_and_sees_their_app(client: FlaskClient, operator: Caller, born: dict):
    body = {"email": "ana@shop.example", "role": "admin", "password": SECRET}
    made = operator("POST", "/v1/users", body | {"app_id": born["id"]})
    assert made.status_code == 201, made.text
    assert SECRET not in made.text
    wrong = client.post("/v1/login", json={"email": "ana@shop.example", "password": "wrong"})
    assert wrong.status_code == 401
    ticket = client.post("/v1/login", json={"email": "ana@shop.example", "password": SECRET}).json
    ana = Caller(client, ticket["token"])
    assert [q["name"] for q in ana("GET", "/v1/queues").json["data"]] == ["default"]
    assert ana("GET", "/v1/users").status_code == 403
    actors = {row["actor"] for row in ana("GET", "/v1/audit-logs").json["data"]}
    assert actors == {"operator"}


def test_a_super_admin_works_for_the_app_they_name(
    client: FlaskClient, born: dict, session: Session
):
    new = NewUser(email="root@example.org", role=Role.SUPER_ADMIN, password=SECRET)
    users.create(session, new, AUTHOR)
    ticket = client.post("/v1/login", json={"email": "root@example.org", "password": SECRET}).json
    root = Caller(client, ticket["token"], **{"X-App-Id": born["id"]})
    assert root("GET", "/v1/queues").status_code == 200
    assert root("GET", "/v1/apps").status_code == 200


def test_another_tenants_ids_are_not_found(shop: Caller, forum: Caller, born: dict):
    paths = [
        f"/v1/queues/{forum('GET', '/v1/queues').json['data'][0]['id']}",
        f"/v1/api-keys/{forum('GET', '/v1/api-keys').json['data'][0]['id']}",
        f"/v1/smtp-configs/{forum('GET', '/v1/smtp-configs').json['data'][0]['id']}",
        f"/v1/companies/{forum('POST', '/v1/companies', {'name': 'Acme'}).json['id']}",
    ]
    for path in paths:
        made_up = path.rpartition("/")[0] + f"/{uuid.uuid4()}"
        for method in ("GET", "DELETE", "PATCH"):
            body = {"name": "x"} if method == "PATCH" else None
            theirs, nobodys = shop(method, path, body), shop(method, made_up, body)
            assert theirs.status_code == nobodys.status_code
            assert theirs.status_code in {404, 405}
    assert all(
        row["target_id"] != born["id"] for row in forum("GET", "/v1/audit-logs").json["data"]
    )


def test_pages_are_followed_by_their_cursor(shop: Caller):
    for number in range(4):
        shop("POST", "/v1/queues", {"name": f"queue {number}"})
    seen, path = [], "/v1/queues?limit=2"
    while path:
        answer = shop("GET", path).json
        seen += [queue["name"] for queue in answer["data"]]
        path = f"/v1/queues?limit=2&cursor={answer['cursor']}" if answer["has_more"] else ""
    assert len(seen) == len(set(seen)) == 5


def test_changes_are_audited_with_who_and_from_where(shop: Caller):
    queue = shop("POST", "/v1/queues", {"name": "news"}).json
    shop("PATCH", f"/v1/queues/{queue['id']}", {"priority": 9})
    (found,) = shop("GET", f"/v1/audit-logs?action=queue.updated&target_id={queue['id']}").json[
        "data"
    ]
    assert (found["before"], found["after"]) == ({"priority": 5}, {"priority": 9})
    assert found["actor"].startswith("key:")
    assert found["origin"] == "127.0.0.1"
    assert found["created_at"] <= utc_now().isoformat().replace("+00:00", "Z")


def test_a_recurring_mail_lives_its_life(shop: Caller):
    email = {"from": "news@shop.example", "to": "ana@example.com", "subject": "Hi", "text": "Hi"}
    body = {"name": "weekly", "cron": "0 9 * * MON", "timezone": "Europe/Berlin", "email": email}
    made = shop("POST", "/v1/scheduled-jobs", body)
    assert made.status_code == 201, made.text
    assert made.json["words"] == "At 09:00 on Monday, Europe/Berlin"
    assert len(made.json["next_runs"]) == 5
    assert made.json["next_runs"][0] == made.json["next_run_at"]
    path = f"/v1/scheduled-jobs/{made.json['id']}"
    ran = shop("POST", f"{path}/run")
    assert ran.status_code == 202, ran.text
    assert shop("GET", f"/v1/emails/{ran.json['email_id']}").json["subject"] == "Hi"
    assert shop("GET", f"{path}/runs").json["data"] == [ran.json]
    resting = shop("PATCH", path, {"is_enabled": False}).json
    assert (resting["next_run_at"], resting["next_runs"]) == (None, [])
    assert shop("PATCH", path, {"cron": "nonsense !"}).status_code == 422
    assert shop("GET", "/v1/scheduled-jobs").json["data"] == [resting]
    assert shop("DELETE", path).status_code == 204
    assert shop("GET", path).status_code == 404
