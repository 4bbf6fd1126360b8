"""A person's rights over HTTP: all that is kept of them, and after the erasure no trace of it."""

import pytest

from app.lifecycle import attempts
from app.tenancy.scopes import Scope
from tests.api import world
from tests.api.conftest import Desk, Person

COLUMNS = """
SELECT c.table_name, c.column_name FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
  AND c.data_type IN ('text', 'jsonb', 'bytea', 'ARRAY') AND c.table_name !~ '_[0-9]{4}_[0-9]{2}$'"""


def traces(desk: Desk, needle: str) -> list[str]:
    """The columns of the whole database that hold `needle`, in text or in bytes."""
    found = []
    for table, column in desk.session.execute(COLUMNS).fetchall():
        query = (
            f"SELECT count(*) FROM {table} WHERE position(%(text)s IN lower({column}::text)) > 0"
            f" OR position(encode(%(text)s::bytea, 'hex') IN {column}::text) > 0"
        )
        row = desk.session.execute(query, {"text": needle}).fetchone()
        if row and row[0]:
            found.append(f"{table}.{column}")
    return found


def known(desk: Desk, mark: str) -> tuple[Person, str]:
    """Somebody every table knows: a recipient, a lead, suppressed, in a dead letter, a webhook."""
    me = desk.person()
    world._sending(me, mark, {})
    address = f"bob@{mark}.example"
    me.post("/v1/webhooks", {"url": "https://hooks.example.com/"})
    headers = {"Idempotency-Key": f"{mark}-1"}
    me.post("/v1/emails", world.mail_of(mark), headers=headers)
    me.post("/v1/leads", {"leads": [{"email": address, "variables": {"mine": address}}]})
    return me, address


def test_an_export_holds_what_is_kept(desk: Desk):
    me, address = known(desk, "exporter")
    found = me.get(f"/v1/gdpr/export/{address}")["data"]
    assert [each["email"] for each in found["leads"]] == [address]
    assert [each["to_email"] for each in found["emails"]] == [address]
    assert me.get("/v1/gdpr/requests")["data"][0]["kind"] == "export"


def test_after_an_erasure_no_table_holds_the_address(desk: Desk):
    me, address = known(desk, "forgotten")
    assert "emails.to_email" in traces(desk, address)
    done = me.ask("DELETE", f"/v1/gdpr/{address}")
    assert done.status_code == 200, done.text
    receipt = done.json["receipt"]
    assert (receipt["emails"], receipt["leads"], receipt["messages"]) == (1, 1, 1)
    assert traces(desk, address) == []


def test_a_new_mail_to_an_erased_person_is_suppressed(desk: Desk):
    me, address = known(desk, "silent")
    me.ask("DELETE", f"/v1/gdpr/{address}")
    again = me.post("/v1/emails", world.mail_of("silent"))
    assert me.get(f"/v1/emails/{again['id']}")["status"] == "suppressed"


def test_erasing_twice_is_harmless(desk: Desk):
    me, address = known(desk, "twice")
    for _ in range(2):
        assert me.ask("DELETE", f"/v1/gdpr/{address}").status_code == 200
    assert len(me.get("/v1/gdpr/requests")["data"]) == 2


def test_a_mail_on_its_way_has_to_arrive_first(desk: Desk):
    me, address = known(desk, "flying")
    query = "UPDATE emails SET status = 'queued', due_at = NULL WHERE app_id = %s RETURNING id"
    ((email_id,),) = desk.session.execute(query, (me.app_id,)).fetchall()
    attempts.claim(desk.session, [email_id], "a/1")
    assert me.ask("DELETE", f"/v1/gdpr/{address}").status_code == 409


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_it_needs_its_own_right(desk: Desk, method: str):
    path = "/v1/gdpr/export/a@example.com" if method == "GET" else "/v1/gdpr/a@example.com"
    assert desk.person(Scope.EMAIL_READ).ask(method, path).status_code == 403
