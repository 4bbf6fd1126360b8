"""The suppression list over HTTP: added, listed, lifted, imported, exported; global and per app."""

import uuid

import pytest

from app.tenancy.scopes import Scope
from tests.api.conftest import Desk


def test_an_address_is_suppressed_listed_and_lifted(desk: Desk):
    me = desk.person()
    made = me.post("/v1/suppression", {"email": "Gone@Example.COM"})
    assert (made["email"], made["scope"], made["reason"]) == ("Gone@example.com", "app", "manual")
    listed = me.get("/v1/suppression?email=gone@example.com")
    assert [each["id"] for each in listed["data"]] == [made["id"]]
    me.delete("/v1/suppression/gone@example.com")
    assert me.get("/v1/suppression")["data"] == []
    assert me.ask("DELETE", "/v1/suppression/gone@example.com").status_code == 404


def test_another_app_neither_sees_nor_lifts_it(desk: Desk):
    me, other = desk.person(), desk.person()
    me.post("/v1/suppression", {"email": "gone@example.com"})
    assert other.get("/v1/suppression")["data"] == []
    assert other.ask("DELETE", "/v1/suppression/gone@example.com").status_code == 404
    assert len(me.get("/v1/suppression")["data"]) == 1


def test_the_operator_suppresses_for_every_app(desk: Desk):
    operator = desk.operator()
    made = operator.post("/v1/suppression", {"email": "all@example.com", "reason": "complaint"})
    assert made["scope"] == "global"
    assert operator.get("/v1/suppression")["data"][0]["email"] == "all@example.com"
    operator.delete("/v1/suppression/all@example.com")


def test_the_operators_entry_takes_an_idempotency_key(desk: Desk):
    operator, once = desk.operator(), {"Idempotency-Key": "global-one"}
    body = {"email": "once@example.com"}
    first = operator.post("/v1/suppression", body, headers=once)
    assert operator.post("/v1/suppression", body, headers=once) == first


def test_an_operator_who_names_no_app_of_ours_is_told(desk: Desk):
    nobody = desk.operator(uuid.uuid4())
    answer = nobody.ask("POST", "/v1/suppression", json={"email": "a@example.com"})
    assert answer.status_code == 404


def test_an_entry_that_ends_gives_way_to_one_that_does_not(desk: Desk):
    me = desk.person()
    me.post("/v1/suppression", {"email": "a@example.com", "expires_at": "2030-01-01T00:00:00Z"})
    me.post("/v1/suppression", {"email": "a@example.com", "reason": "unsubscribe"})
    (entry,) = me.get("/v1/suppression")["data"]
    assert (entry["reason"], entry["expires_at"]) == ("unsubscribe", None)


def test_any_offset_of_iso_8601_is_understood(desk: Desk):
    me = desk.person()
    body = {"email": "a@example.com", "expires_at": "2030-01-01T00:00:00-21:06"}
    assert me.post("/v1/suppression", body)["expires_at"] == "2030-01-01T21:06:00Z"
    table = b"email,expires_at\nb@example.com,2030-01-01T00:00:00-21:06\n"
    table += b"c@example.com,9999-12-31T23:00:00-21:06\n"
    done = me.post("/v1/suppression/import", data=table, content_type="text/csv")
    assert [each["line"] for each in done["rejects"]] == [3]
    ends = {entry["email"]: entry["expires_at"] for entry in me.get("/v1/suppression")["data"]}
    assert ends == dict.fromkeys(("a@example.com", "b@example.com"), "2030-01-01T21:06:00Z")
    body["expires_at"] = "9999-12-31T23:00:00-21:06"
    answer = me.ask("POST", "/v1/suppression", json=body)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/expires_at"


def test_a_file_goes_in_with_its_faults_named_and_comes_out_again(desk: Desk):
    me = desk.person()
    table = b"email,reason\na@example.com,unsubscribe\nnot-an-address,\nb@example.com,why\n"
    table += b"a@example.com,manual\nc@example.com,\n"
    done = me.post("/v1/suppression/import", data=table, content_type="text/csv")
    assert (done["rows"], done["added"], done["already"], done["rejected"]) == (5, 2, 1, 2)
    assert [each["line"] for each in done["rejects"]] == [3, 4]
    exported = me.get("/v1/suppression/export").decode()
    assert exported.splitlines()[0] == "email,reason,source,expires_at,created_at"
    assert {line.split(",")[0] for line in exported.splitlines()[1:]} == {
        "a@example.com",
        "c@example.com",
    }


@pytest.mark.parametrize("table", [b"\xff\xfe", b"mail\na@example.com\n", b'email\n"open'])
def test_a_file_that_cannot_be_read_is_refused_whole(desk: Desk, table: bytes):
    answer = desk.person().ask(
        "POST", "/v1/suppression/import", data=table, content_type="text/csv"
    )
    assert answer.status_code == 422


def test_reading_needs_no_right_to_change(desk: Desk):
    reader = desk.person(Scope.EMAIL_READ)
    assert reader.get("/v1/suppression")["data"] == []
    answer = reader.ask("POST", "/v1/suppression", json={"email": "a@example.com"})
    assert answer.status_code == 403


def test_the_audit_log_holds_no_address(desk: Desk):
    me = desk.person()
    me.post("/v1/suppression", {"email": "secret.person@example.com"})
    rows = desk.session.execute(
        "SELECT row_to_json(a)::text FROM audit_logs a WHERE app_id = %s", (me.app_id,)
    ).fetchall()
    assert rows
    assert all("secret.person" not in row[0] for row in rows)
