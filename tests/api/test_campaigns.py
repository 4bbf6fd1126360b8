"""Templates, leads, campaigns and their numbers over HTTP."""

from typing import Any

import pytest

from app.campaigns import sequence
from app.clock import utc_now
from tests import factories
from tests.api.conftest import Desk, Person

HELLO = {"name": "hello", "subject": "Hi {{first_name}}", "html": "<p>Hello {{first_name}}</p>"}


@pytest.fixture
def me(desk: Desk) -> Person:
    """Somebody whose app has a sender and a template."""
    person = desk.person()
    smtp = factories.make_smtp_config(desk.session, person.app_id)
    factories.make_account(
        desk.session, person.app_id, smtp_config_id=smtp.id, address="ann@example.com"
    )
    factories.default_queue(desk.session, person.app_id)
    person.post("/v1/templates", HELLO)
    return person


def campaign(me: Person, name: str = "spring", **fields: Any) -> Any:
    described = {"name": name, "accounts": ["ann@example.com"], "steps": [{"template": "hello"}]}
    return me.post("/v1/campaigns", described | fields)


def test_a_template_is_versioned_previewed_and_checked(me: Person):
    assert me.post("/v1/templates", HELLO)["is_unchanged"]
    second = me.post("/v1/templates", HELLO | {"subject": "Hello {{first_name}}"})
    assert (second["version"], second["is_unchanged"]) == (2, False)
    versions = me.get("/v1/templates/hello/versions")["data"]
    assert [each["version"] for each in versions] == [2, 1]
    assert me.get("/v1/templates/hello/versions/1")["subject"] == "Hi {{first_name}}"
    seen = me.post("/v1/templates/hello/preview", {"variables": {"first_name": "<Zoë>"}})
    assert seen["subject"] == "Hello <Zoë>"
    assert "&lt;Zoë&gt;" in seen["html"]
    assert "Zoë" in seen["text"]


def test_a_template_is_sent_to_a_few_people_as_a_test(me: Person):
    body = {"from": "ann@example.com", "to": ["bo@example.com", "cy@example.com"]}
    taken = me.post("/v1/templates/hello/test", body | {"variables": {"first_name": "Bo"}})
    mail = me.get(f"/v1/emails/{taken['id']}")
    assert (mail["subject"], mail["tags"]) == ("Hi {{first_name}}", ["test"])
    assert {one["email"] for one in taken["recipients"]} == {"bo@example.com", "cy@example.com"}
    nobody = me.ask("POST", "/v1/templates/nothing/test", json=body)
    assert nobody.status_code == 404, nobody.json
    crowd = body | {"to": [f"a{n}@example.com" for n in range(6)]}
    assert me.ask("POST", "/v1/templates/hello/test", json=crowd).status_code == 422


def test_a_missing_variable_and_a_broken_line_are_named(me: Person):
    missing = me.ask("POST", "/v1/templates/hello/preview", json={})
    assert (missing.status_code, missing.json["code"]) == (422, "missing_variables")
    broken = me.ask("POST", "/v1/templates", json=HELLO | {"html": "<p>ok</p>\n{% if x %}"})
    assert broken.status_code == 422
    assert broken.json["problems"][0]["line"] == 2


def test_leads_come_in_bulk_and_by_file_and_what_cannot_is_named(me: Person):
    leads = [{"email": "a@example.com", "variables": {"first_name": "A"}}, {"email": "nobody"}]
    done = me.post("/v1/leads", {"leads": [*leads, {"email": "A@example.com"}]})
    assert (done["rows"], done["added"], done["rejected"]) == (3, 1, 2)
    assert [each["line"] for each in done["rejects"]] == [2, 3]
    table = b"email,first_name\nb@example.com,B\na@example.com,A\n"
    done = me.post("/v1/leads/import", data=table, content_type="text/csv")
    assert (done["added"], done["rejects"][0]["reason"]) == (1, "duplicate: already a lead")
    (found,) = me.get("/v1/leads?email=b@example.com")["data"]
    assert found["variables"] == {"first_name": "B"}
    me.delete(f"/v1/leads/{found['id']}")
    assert me.ask("GET", f"/v1/leads/{found['id']}").status_code == 404


def test_a_campaign_starts_pauses_resumes_and_is_cancelled(me: Person):
    me.post("/v1/leads", {"leads": [{"email": f"u{i}@example.com"} for i in range(3)]})
    made = campaign(me)
    path = f"/v1/campaigns/{made['id']}"
    assert made["status"] == "draft"
    assert me.get(f"{path}/forecast")["mails"] == 3
    assert me.post(f"{path}/start")["status"] == "running"
    assert me.get(f"{path}/progress")["leads"]["active"] == 3
    assert me.get(f"{path}/ledger")["off_by"] == 0
    assert me.post(f"{path}/pause")["status"] == "paused"
    assert me.post(f"{path}/resume")["status"] == "running"
    again = me.ask("POST", f"{path}/start")
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    assert me.post(f"{path}/cancel")["status"] == "cancelled"
    assert me.post(f"{path}/send-rest")["people"] == 3
    assert [each["name"] for each in me.get("/v1/campaigns?status=running")["data"]] == ["spring"]


def test_a_campaign_with_an_unknown_name_is_not_made(me: Person):
    answer = me.ask(
        "POST",
        "/v1/campaigns",
        json={"name": "x", "accounts": ["ann@example.com"], "steps": [{"template": "helo"}]},
    )
    assert answer.status_code == 404
    assert "hello" in answer.json["fix"]
    assert me.get("/v1/campaigns")["data"] == []


def test_a_refused_start_gives_its_idempotency_key_back(me: Person):
    made, once = campaign(me), {"Idempotency-Key": "refused-first"}
    path = f"/v1/campaigns/{made['id']}/start"
    assert me.ask("POST", path, headers=once).json["title"].endswith("would reach nobody.")
    me.post("/v1/leads", {"leads": [{"email": "a@example.com"}]})
    assert me.post(path, headers=once)["status"] == "running"


def test_a_test_key_starts_no_campaign_and_makes_no_live_key(desk: Desk, me: Person):
    me.post("/v1/leads", {"leads": [{"email": "a@example.com"}]})
    path = f"/v1/campaigns/{campaign(me)['id']}/start"
    tester = desk.colleague(me.app_id, is_test=True)
    assert tester.ask("POST", path).status_code == 403
    made = tester.post("/v1/api-keys", {"name": "k", "scopes": ["email:read"]})
    assert made["key"].startswith("mq_test_")


def test_a_start_under_one_idempotency_key_happens_once(me: Person):
    me.post("/v1/leads", {"leads": [{"email": "a@example.com"}]})
    path = f"/v1/campaigns/{campaign(me)['id']}/start"
    first = me.post(path, headers={"Idempotency-Key": "k1"})
    assert me.post(path, headers={"Idempotency-Key": "k1"}) == first


def test_numbers_add_up_and_refuse_a_span_that_cannot_be(me: Person):
    assert me.get("/v1/analytics/overview")["counts"]["sent"] == 0
    assert me.get("/v1/analytics/delivery?interval=hour")["data"] == []
    assert me.get("/v1/analytics/engagement")["interval"] == "day"
    assert me.get("/v1/analytics/bounces")["suppressed_by_reason"] == {}
    # A span that reaches back behind 1970 is empty there.
    early = me.get("/v1/analytics/bounces?to=1970-01-10T00:00:00Z")
    assert early["suppressed_by_reason"] == {}
    assert me.get("/v1/analytics/waits")["data"] == []
    day, week = me.get("/v1/analytics/reputation")["data"]
    assert (day["window"], week["window"], day["score"]) == ("24h", "7d", None)
    bad = "/v1/analytics/overview?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"
    assert me.ask("GET", bad).status_code == 422
    assert me.ask("GET", "/v1/analytics/overview?queue=none").status_code == 404


def test_a_staged_release_shows_its_stage_and_a_person_lets_it_go_on(desk: Desk, me: Person):
    addresses = [{"email": f"{name}@example.com"} for name in "abcdef"]
    me.post("/v1/leads", {"leads": addresses})
    made = campaign(me, staged_release={"percent": 20, "least": 1, "wait_minutes": 30})
    path = f"/v1/campaigns/{made['id']}"
    assert me.get(f"{path}/progress")["stage"]["phase"] == "planned"
    me.post(f"{path}/start")
    sequence.plan_due(desk.session, utc_now(), 100)
    stage = me.get(f"{path}/progress")["stage"]
    assert (stage["phase"], stage["size"], stage["admitted"]) == ("first", 2, 2)
    held = desk.session.execute("SELECT id FROM emails WHERE due_at = 'infinity' LIMIT 1")
    (email_id,) = held.fetchone()
    gates = {gate["name"]: gate for gate in me.get(f"/v1/emails/{email_id}/explain")["gates"]}
    assert gates["stage"]["verdict"] == "wait"
    assert me.post(f"{path}/go-on")["status"] == "running"
    assert me.get(f"{path}/progress")["stage"]["phase"] == "open"
    assert me.ask("POST", f"{path}/go-on").status_code == 409


def test_no_dead_letters_are_nothing_to_retry(me: Person):
    assert me.get("/v1/dead-letters/groups")["data"] == []
    assert me.get("/v1/dead-letters")["data"] == []
    answer = me.ask("POST", "/v1/dead-letters/retry", json={"fingerprint": "f"})
    assert answer.status_code == 404
