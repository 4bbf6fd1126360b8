"""Health over HTTP, and answers with secrets kept sealed for a replay."""

import dataclasses

from app.api import health
from app.api.call import Caller
from app.audit import Author
from app.errors import DependencyUnavailable
from tests.api.conftest import Desk


def test_every_dependency_is_asked(desk: Desk):
    found = desk.person().get("/v1/health/detailed")
    assert found["status"] == "healthy"
    assert set(found["checks"]) == {"postgresql", "redis", "rabbitmq"}
    assert all(check["latency_ms"] >= 0 for check in found["checks"].values())


def test_only_an_operator_reads_what_a_dead_dependency_said():
    def broken():
        raise DependencyUnavailable("redis://user:secret@10.0.0.7 is away.")

    app = Caller(app_id=None, scopes=frozenset(), author=Author(name="key:1"), limit_key="key:1")
    operator = dataclasses.replace(app, is_operator=True)
    assert "10.0.0.7" not in (health.checked(broken, app).reason or "")
    assert "10.0.0.7" in (health.checked(broken, operator).reason or "")


def test_anybody_may_ask_whether_it_lives_and_which_it_is(desk: Desk):
    assert desk.client.get("/v1/health").json == {"status": "healthy"}
    assert desk.client.get("/v1/info").json["api_version"] == "v1"


def test_a_replayed_key_is_the_same_and_stands_nowhere_in_clear(desk: Desk):
    me = desk.person()
    body, once = {"name": "k", "scopes": ["email:read"]}, {"Idempotency-Key": "make-one"}
    first = me.post("/v1/api-keys", body, headers=once)
    assert me.post("/v1/api-keys", body, headers=once) == first
    rows = desk.session.execute("SELECT response_body FROM idempotency_keys").fetchall()
    text = first["key"]
    assert text.startswith("mq_live_")
    assert all(text.encode() not in bytes(row[0]) for row in rows)
    made = desk.session.execute("SELECT count(*) FROM api_keys WHERE app_id = %s", (me.app_id,))
    assert made.fetchone()[0] == 2


def test_an_operators_new_app_is_made_once(desk: Desk):
    operator, once = desk.operator(), {"Idempotency-Key": "app-one"}
    first = operator.post("/v1/apps", {"name": "Once"}, headers=once)
    assert operator.post("/v1/apps", {"name": "Once"}, headers=once) == first
