"""A person's rights over HTTP: all that is kept of them, and after the erasure no trace of it."""

import dataclasses

import pytest
from psycopg.types.json import Jsonb

from app.clock import utc_now
from app.gdpr import queues
from app.ids import new_id
from app.lifecycle import attempts, copies, events, ledger
from app.lifecycle.events import TimelineEvent
from app.tenancy.scopes import Scope
from app.webhooks import fanout
from tests import factories
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


def leave_traces(desk: Desk, me: Person, address: str) -> None:
    """What the stages, the servers and the person themselves would have written."""
    query = "SELECT id FROM emails WHERE app_id = %s"
    ((email_id,),) = desk.session.execute(query, (me.app_id,)).fetchall()
    said = TimelineEvent(
        email_id=email_id,
        event_id=new_id(),
        app_id=me.app_id,
        type="bounced",
        data={"text": f"550 5.1.1 <{address}> unknown", "code": 550},
        at=utc_now(),
    )
    events.append(desk.session, [said])
    fanout.fan_out(desk.session)
    events.append(desk.session, [dataclasses.replace(said, event_id=new_id())])
    inbound = new_id()
    copies.keep(desk.session, me.app_id, [(email_id, address.encode()), (inbound, b"raw")])
    own = {"app_id": me.app_id}
    row = {"id": inbound, "email_id": email_id, "kind": "reply", "recipient": "r@example.com"}
    factories.insert(desk.session, "inbound_messages", own | row | {"return_path": address})
    body = Jsonb({"kwargs": {"payload": {"mails": [{"to": address, "slots": []}]}}})
    letter = {"id": new_id(), "queue": "send.normal", "message": body, "error": address}
    rest = {"error_class": "Gone", "fingerprint": "f", "attempts": 1}
    factories.insert(desk.session, "dead_letters", own | letter | rest)
    action = Jsonb({"email": {"to": [{"email": address}]}})
    job = {"id": new_id(), "name": "weekly", "cron": "0 9 * * 1", "action": action}
    factories.insert(desk.session, "scheduled_jobs", own | job)
    me.post("/v1/suppression", {"email": address})
    desk.session.execute(
        "UPDATE template_versions SET html = %s WHERE app_id = %s AND template_id IS NULL",
        (f"<p>Dear {address}</p>", me.app_id),
    )


def test_an_export_holds_what_is_kept(desk: Desk):
    me, address = known(desk, "exporter")
    found = me.get(f"/v1/gdpr/export/{address}")["data"]
    assert [each["email"] for each in found["leads"]] == [address]
    assert [each["to_email"] for each in found["emails"]] == [address]
    assert me.get("/v1/gdpr/requests")["data"][0]["kind"] == "export"


def test_after_an_erasure_no_table_holds_the_address(desk: Desk):
    me, address = known(desk, "forgotten")
    leave_traces(desk, me, address)
    assert len(traces(desk, address)) >= 10
    done = me.ask("DELETE", f"/v1/gdpr/{address}")
    assert done.status_code == 200, done.text
    receipt = done.json["receipt"]
    assert (receipt["emails"], receipt["leads"], receipt["messages"]) == (1, 1, 1)
    assert traces(desk, address) == []


def test_the_copy_of_a_mail_to_somebody_else_that_names_the_person_goes(desk: Desk):
    me, address = known(desk, "copied")
    order = world.mail_of("copied") | {
        "to": [{"email": "zoe@x.example"}],
        "cc": [{"email": address}],
    }
    me.post("/v1/emails", order, headers={"Idempotency-Key": "copied-2"})
    query = "SELECT id FROM emails WHERE app_id = %s AND to_email = 'zoe@x.example'"
    ((other,),) = desk.session.execute(query, (me.app_id,)).fetchall()
    copies.keep(desk.session, me.app_id, [(other, f"Cc: {address}".encode())])
    assert "inbox_message_content.raw" in traces(desk, address)
    assert me.ask("DELETE", f"/v1/gdpr/{address}").status_code == 200
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


def test_somebody_whose_address_ends_the_same_is_left_alone(desk: Desk):
    me, address = known(desk, "neighbours")
    other = f"jo{address}"
    order = world.mail_of("neighbours") | {"to": [{"email": other}], "metadata": {"who": other}}
    me.post("/v1/emails", order, headers={"Idempotency-Key": "neighbours-2"})
    me.post("/v1/leads", {"leads": [{"email": other}]})
    letter = {"id": new_id(), "queue": "send.normal", "error": other, "app_id": me.app_id}
    body = Jsonb({"kwargs": {"payload": {"mails": [{"to": other, "slots": []}]}}})
    rest = {"error_class": "Gone", "fingerprint": "f", "attempts": 1, "message": body}
    factories.insert(desk.session, "dead_letters", letter | rest)
    before = set(traces(desk, other))
    assert me.ask("DELETE", f"/v1/gdpr/{address}").status_code == 200
    assert set(traces(desk, other)) == before


def test_a_letter_of_no_app_is_cut_by_the_workers(desk: Desk):
    me, address = known(desk, "nobodys")
    letter = {"id": new_id(), "queue": "send.normal", "error": address}
    rest = {"error_class": "Gone", "fingerprint": "f", "attempts": 1}
    factories.insert(desk.session, "dead_letters", letter | rest)
    done = me.ask("DELETE", f"/v1/gdpr/{address}").json
    assert (done["status"], done["finished_at"]) == ("open", None)
    queues.sweep(desk.session, desk.settings.rabbitmq_url, factories.PEPPER, utc_now())
    assert traces(desk, address) == []
    later = utc_now() + queues.HORIZON
    queues.sweep(desk.session, desk.settings.rabbitmq_url, factories.PEPPER, later)
    newest = me.get("/v1/gdpr/requests")["data"][0]
    assert newest["status"] == "done"
    assert newest["receipt"]["dead_letters"] == 1


def test_the_receipt_names_what_tables_do_not_hold(desk: Desk):
    me, address = known(desk, "stores")
    done = me.ask("DELETE", f"/v1/gdpr/{address}").json
    by_name = {store["store"]: store["clean_by"] for store in done["stores"]}
    assert by_name["logs, journals and archives"] == done["created_at"]
    assert done["created_at"] < by_name["queues"] < by_name["backups"]


def test_the_books_balance_without_the_lead(desk: Desk):
    me, address = known(desk, "balanced")
    query = "SELECT id FROM leads WHERE app_id = %s"
    ((lead,),) = desk.session.execute(query, (me.app_id,)).fetchall()
    campaign = factories.make_campaign(desk.session, me.app_id)
    account = factories.make_account(desk.session, me.app_id).id
    sent = {"to_email": address, "campaign_id": campaign, "account_id": account, "lead_id": lead}
    factories.make_email(desk.session, me.app_id, status="sent", **sent)
    row = {"id": new_id(), "app_id": me.app_id, "campaign_id": campaign, "lead_id": lead}
    rest = {"account_id": account, "status": "finished", "steps_planned": 1}
    factories.insert(desk.session, "enrolments", row | rest)
    before = ledger.of_campaign(desk.session, campaign)
    assert (before.planned, before.off_by) == (1, 0)
    assert me.ask("DELETE", f"/v1/gdpr/{address}").status_code == 200
    assert ledger.of_campaign(desk.session, campaign) == before
