"""Webhooks over HTTP: created, changed, rotated, tested, logged, sent again; never another app's."""

import pytest

from app.lifecycle import attempts
from app.tenancy.scopes import Scope
from app.webhooks import fanout
from tests import factories
from tests.api.conftest import Desk, Person

URL = "https://hooks.example.com/mail"


def made(me: Person, **fields: object) -> dict[str, str]:
    shown: dict[str, str] = me.post("/v1/webhooks", {"url": URL, **fields})["webhook"]
    return shown


def test_a_webhook_is_created_with_a_secret_shown_once(desk: Desk):
    me = desk.person()
    issued = me.post("/v1/webhooks", {"url": URL, "events": ["sent", "bounced"]})
    assert issued["secret"].startswith("whsec_")
    (listed,) = me.get("/v1/webhooks")["data"]
    assert (listed["url"], listed["events"]) == (URL, ["sent", "bounced"])
    assert issued["secret"] not in str(listed)


def test_the_secret_is_sealed_at_rest(desk: Desk):
    me = desk.person()
    secret = me.post("/v1/webhooks", {"url": URL})["secret"]
    rows = desk.session.execute(
        "SELECT row_to_json(w)::text FROM webhook_endpoints w WHERE app_id = %s", (me.app_id,)
    ).fetchall()
    assert secret not in str(rows)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://name:word@hooks.example.com/",
        "https://hooks.example.com/#part",
        "ftp://hooks.example.com/",
        "https:///path",
        "https://hooks.example.com/a b",
    ],
)
def test_a_url_that_no_webhook_may_have_is_refused(desk: Desk, url: str):
    assert desk.person().ask("POST", "/v1/webhooks", json={"url": url}).status_code == 422


def test_a_webhook_is_paused_and_goes_on(desk: Desk):
    me = desk.person()
    path = f"/v1/webhooks/{made(me)['id']}"
    paused = me._good(me.ask("PATCH", path, json={"status": "paused"}))
    assert (paused["status"], paused["pause_reason"]) == ("paused", "paused by a person")
    again = me._good(me.ask("PATCH", path, json={"status": "active"}))
    assert (again["status"], again["pause_reason"]) == ("active", None)


def test_a_rotated_secret_keeps_the_old_one_for_a_while(desk: Desk):
    me = desk.person()
    issued = me.post("/v1/webhooks", {"url": URL})
    again = me.post(f"/v1/webhooks/{issued['webhook']['id']}/rotate", {"grace_s": 60})
    assert again["secret"] != issued["secret"]
    assert again["webhook"]["previous_secret_until"] is not None


def test_a_test_event_stands_in_the_log_and_goes_again(desk: Desk):
    me = desk.person()
    sent = me.post(f"/v1/webhooks/{made(me)['id']}/test")
    (logged,) = me.get("/v1/webhooks/logs")["data"]
    assert (logged["id"], logged["event"]) == (sent["delivery_id"], "test")
    assert me.post(f"/v1/webhooks/{sent['delivery_id']}/retry") == {"retried": 1}
    assert me.post("/v1/webhooks/retry", {"status": "failed"}) == {"retried": 0}
    assert me.post("/v1/webhooks/retry", {"status": "pending"}) == {"retried": 1}


def test_mail_submitted_over_the_api_is_noted(desk: Desk):
    me = desk.person()
    made(me)
    email_id = factories.make_email(desk.session, me.app_id, status="queued")
    attempts.claim(desk.session, [email_id], "a/1")
    fanout.fan_out(desk.session)
    logged = me.get(f"/v1/webhooks/logs?email_id={email_id}")["data"]
    assert [each["event"] for each in logged] == ["processing"]


def test_another_app_sees_none_of_it(desk: Desk):
    me, other = desk.person(), desk.person()
    webhook = made(me)
    sent = me.post(f"/v1/webhooks/{webhook['id']}/test")
    assert other.get("/v1/webhooks")["data"] == other.get("/v1/webhooks/logs")["data"] == []
    for method, path in (
        ("GET", f"/v1/webhooks/{webhook['id']}"),
        ("DELETE", f"/v1/webhooks/{webhook['id']}"),
        ("POST", f"/v1/webhooks/{webhook['id']}/test"),
        ("POST", f"/v1/webhooks/{sent['delivery_id']}/retry"),
    ):
        assert other.ask(method, path).status_code == 404


def test_it_needs_its_own_right(desk: Desk):
    reader = desk.person(Scope.EMAIL_READ)
    assert reader.ask("GET", "/v1/webhooks").status_code == 403
