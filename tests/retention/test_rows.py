"""What goes row by row: apps that keep less, and what hangs on mails; the rest stays."""

import datetime as dt
import hashlib
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from app.assembly.expiry import IS_WHOLE_SQL
from app.ids import new_id, new_ids
from app.lifecycle import copies, ledger
from app.lifecycle.states import WAITING
from app.retention import run, sweeps
from app.retention.periods import Periods, cutoff, month_of
from tests import factories
from tests.retention.conftest import NOW, OLD, House

RECENT = NOW - dt.timedelta(days=20)
JULY = dt.datetime(2025, 7, 1, 12, tzinfo=dt.UTC)  # 50 days ago


def test_an_app_that_keeps_less_loses_its_old_mails_alone(house: House):
    short, usual = house.app(emails=30), house.app()
    gone, kept = house.mail(short, JULY), house.mail(usual, JULY)
    young = house.mail(short, RECENT)
    house.run()
    ids = {row[0] for row in house.session.execute("SELECT id FROM emails").fetchall()}
    assert ids == {kept, young}
    assert house.count("email_events", f"email_id = '{gone}'") == 0
    assert house.count("email_events", f"email_id = '{kept}'") == 2


@pytest.mark.parametrize("status", sorted(WAITING))
def test_a_mail_that_is_not_finished_is_never_deleted(house: House, status: str):
    house.app()
    email_id = house.mail(house.app(emails=1), JULY, status=status)
    house.run()
    assert house.count("emails", f"id = '{email_id}'") == 1


def test_the_books_of_a_campaign_go_on_without_its_mails(house: House):
    house.app()
    app = house.app(emails=30)
    campaign = factories.make_campaign(house.session, app, status="finished")
    for status in ("sent", "failed", "unknown"):
        mail = house.mail(app, JULY, campaign_id=campaign, status=status)
        enrol(house, app, campaign, mail)
    before = ledger.of_campaign(house.session, campaign)
    assert before.off_by == 0
    house.run()
    assert house.count("emails") == 0
    assert ledger.of_campaign(house.session, campaign) == before
    assert ledger.of_app(house.session, app).off_by == 0


def enrol(house: House, app_id: UUID, campaign_id: UUID, email_id: UUID) -> None:
    query = "SELECT account_id FROM emails WHERE id = %s"
    ((account,),) = house.session.execute(query, (email_id,)).fetchall()
    row = {
        "id": new_id(),
        "app_id": app_id,
        "campaign_id": campaign_id,
        "lead_id": factories.make_lead(house.session, app_id),
        "account_id": account,
        "status": "finished",
        "steps_planned": 1,
        "last_email_id": email_id,
    }
    factories.insert(house.session, "enrolments", row)


def message(house: House, app_id: UUID, at: dt.datetime) -> UUID:
    return factories.make_message(
        house.session, app_id, id=UUID(new_ids(1, at)[0]), created_at=at, recipients=1
    )


def test_messages_and_their_files_go_when_their_last_mail_is_gone(house: House):
    house.app()
    app = house.app(emails=30)
    done, waits = message(house, app, JULY), message(house, app, JULY)
    factories.attach(house.session, app, done, b"done")
    factories.attach(house.session, app, waits, b"waits")
    house.session.execute("UPDATE attachments SET created_at = %s", (JULY,))
    house.mail(app, JULY, message_id=done)
    house.mail(app, JULY, message_id=waits, status="scheduled")
    house.run()
    rows = house.session.execute("SELECT id FROM messages").fetchall()
    assert rows == [(waits,)]
    assert house.session.execute("SELECT content FROM attachments").fetchall() == [(b"waits",)]
    assert ledger.of_app(house.session, app).off_by == 0


def test_a_file_that_is_stored_again_now_is_no_orphan(house: House):
    app = house.app()
    for created_at, kept in ((OLD, 0), (dt.datetime.now(dt.UTC), 1)):
        house.session.execute("DELETE FROM attachments")
        old = message(house, app, OLD)
        factories.attach(house.session, app, old, b"file")
        house.session.execute("DELETE FROM message_attachments")
        house.session.execute("UPDATE attachments SET created_at = %s", (created_at,))
        house.run()
        assert house.count("attachments") == kept


def expanded_batch(house: House, app: UUID) -> tuple[UUID, UUID]:
    """Make a message of July and its batch of one mail; return the ids of both."""
    sheet, batch_id = message(house, app, JULY), UUID(new_ids(1, JULY)[0])
    row = {"id": batch_id, "app_id": app, "message_id": sheet, "status": "expanded"}
    factories.insert(house.session, "batches", row | {"accepted": 1, "expanded": 1})
    return sheet, batch_id


def test_batches_go_after_their_messages_and_stay_counted(house: House):
    house.app()
    app = house.app(emails=30)
    sheet, batch_id = expanded_batch(house, app)
    house.mail(app, JULY, message_id=sheet, batch_id=batch_id)
    house.run()
    assert (house.count("messages"), house.count("batches"), house.count("emails")) == (0, 0, 0)
    assert ledger.of_app(house.session, app).off_by == 0
    assert ledger.of_app(house.session, app).sent == 1


def test_a_message_stays_while_a_batch_that_was_expanded_late_has_mails(house: House):
    house.app()
    app = house.app(emails=48)
    sheet, batch_id = expanded_batch(house, app)
    late = JULY + dt.timedelta(days=3)
    house.mail(app, late, message_id=sheet, batch_id=batch_id, status="scheduled")
    house.run()
    assert house.count("messages", f"id = '{sheet}'") == 1


def test_content_goes_before_its_mail(house: House):
    app = house.app(content=7)
    email_id, young = house.mail(app, RECENT), house.mail(app, NOW)
    copies.keep(house.session, app, [(email_id, b"old"), (young, b"young")])
    house.session.execute(
        "UPDATE inbox_message_content SET created_at = %s WHERE ref_id = %s", (RECENT, email_id)
    )
    house.run()
    assert house.session.execute("SELECT raw FROM inbox_message_content").fetchall() == [
        (b"young",)
    ]
    assert house.count("emails") == 2


def inbound(house: House, app_id: UUID | None, status: str) -> UUID:
    row = {"id": UUID(new_ids(1, OLD)[0]), "app_id": app_id, "status": status}
    rest = {"kind": "reply", "recipient": "r@example.com", "created_at": OLD}
    factories.insert(house.session, "inbound_messages", row | rest)
    copies.keep(house.session, app_id, [(row["id"], b"raw")])
    house.session.execute("UPDATE inbox_message_content SET created_at = %s", (OLD,))
    return row["id"]


def test_inbound_mail_goes_when_it_was_worked_off_also_of_no_app(house: House):
    app = house.app()
    inbound(house, app, "processed")
    inbound(house, None, "ignored")
    waits = inbound(house, app, "received")
    house.run()
    rows = house.session.execute("SELECT id FROM inbound_messages").fetchall()
    assert rows == [(waits,)]
    assert house.session.execute("SELECT ref_id FROM inbox_message_content").fetchall() == [
        (waits,)
    ]


def test_suppression_and_rollups_survive(house: House):
    app = house.app(emails=1)
    entry = {"id": new_id(), "app_id": app, "email_hash": b"h" * 16, "reason": "manual"}
    factories.insert(house.session, "suppression_list", entry | {"created_at": OLD})
    stat = {"app_id": app, "kind": "sent", "n": 5, "minute": OLD}
    factories.insert(house.session, "email_stats", stat)
    house.run(NOW + dt.timedelta(days=300))
    assert (house.count("suppression_list"), house.count("email_stats")) == (1, 1)


def test_a_dry_run_says_what_would_go_and_why_and_changes_nothing(house: House):
    usual, short = house.app(), house.app(emails=30)
    house.mail(usual)
    house.mail(short, JULY)
    lines = run.look(house.session, NOW)
    (march,) = [line for line in lines if line.partition == "emails_2025_03"]
    assert (march.action, march.rows) == ("archive and drop", 1)
    assert march.why == "all of it is older than 2025-05-22"
    (july,) = [line for line in lines if line.partition == "emails_2025_07"]
    assert (july.action, july.why) == ("keep", "it leaves on 2025-10-30")
    (row,) = [line for line in lines if line.table == "emails" and line.app]
    assert (row.rows, row.action) == (1, "delete")
    assert row.why == "kept for 30 days, until 2025-07-21"
    assert house.count("emails") == 2


def test_a_run_is_in_the_audit_log(house: House):
    house.app()
    short = house.app(emails=30)
    house.mail(short, JULY)
    house.run()
    found = house.session.execute(
        "SELECT app_id, after FROM audit_logs WHERE action = 'retention.applied'"
    ).fetchall()
    assert found == [(short, {"emails": 1})]


def test_rows_that_somebody_holds_are_passed_over(house: House, database: str):
    house.app()
    short = house.app(emails=30)
    held = house.mail(short, JULY)
    house.mail(short, JULY)
    with psycopg.connect(database) as holder:
        holder.execute("SELECT FROM emails WHERE id = %s FOR UPDATE", (held,))
        house.run()
    assert house.session.execute("SELECT id FROM emails").fetchall() == [(held,)]


def test_a_table_that_takes_too_long_keeps_nothing_else(
    house: House, database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "_LONGEST_BATCH", dt.timedelta(seconds=2))
    house.app()
    inbound(house, None, "ignored")
    with psycopg.connect(database) as holder:
        holder.execute("LOCK TABLE soft_bounces")
        lines = {line.table: line.action for line in house.run()}
    assert lines["soft_bounces"] == "broken off"
    assert house.count("inbound_messages") == 0


def test_a_batch_is_small(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweeps, "BATCH", 2)
    house.app()
    short = house.app(emails=30)
    for _ in range(5):
        house.mail(short, JULY)
    house.run()
    assert house.count("emails") == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Periods()),
        ({"retention_emails_days": 7}, Periods(emails=7)),
        ({"retention_content_days": 1, "retention_audit_days": 400}, Periods(content=1, audit=400)),
    ],
)
def test_periods_are_what_the_settings_say(settings: dict[str, int], expected: Periods):
    assert Periods.of_app(settings) == expected


def test_the_longest_period_of_any_app_decides_about_months():
    found = Periods.longest([Periods(emails=30, audit=30), Periods(emails=400)])
    assert (found.emails, found.audit) == (400, 365)
    assert month_of(cutoff(NOW, 30)) == dt.datetime(2025, 7, 1, tzinfo=dt.UTC)


def test_open_dead_letters_are_given_up_in_their_time(house: House):
    app = house.app()
    row = {"id": new_id(), "app_id": app, "queue": "send.normal", "message": Jsonb({})}
    rest = {"error_class": "E", "error": "e", "fingerprint": "f", "attempts": 1, "failed_at": OLD}
    factories.insert(house.session, "dead_letters", row | rest | {"published_at": OLD})
    house.run()
    assert house.session.execute("SELECT status FROM dead_letters").fetchall() == [("discarded",)]
    house.run()
    assert house.count("dead_letters") == 0


def body(house: House, app_id: UUID, text: str, **fields: object) -> UUID:
    """A one-off body of July with its message; returns the body's id."""
    version = {"id": UUID(new_ids(1, JULY)[0]), "app_id": app_id, "subject": text}
    digest = hashlib.sha256(text.encode()).digest()
    row = version | {"html": text, "content_hash": digest, "created_at": JULY}
    factories.insert(house.session, "template_versions", row)
    sheet = {"id": UUID(new_ids(1, JULY)[0]), "created_at": JULY} | fields
    factories.make_message(house.session, app_id, template_version_id=row["id"], **sheet)
    return row["id"]


def test_words_go_before_their_mails(house: House):
    app = house.app(content=7)
    old, waits, again = (body(house, app, text) for text in ("old", "waits", "again"))
    house.mail(app, JULY, template_version_id=old)
    house.mail(app, JULY, template_version_id=waits, status="scheduled")
    factories.make_message(house.session, app, template_version_id=again)
    house.run()
    rows = house.session.execute("SELECT id, html FROM template_versions WHERE template_id IS NULL")
    assert dict(rows.fetchall()) == {old: "", waits: "waits", again: "again"}
    assert house.count("emails") == 2


def test_no_mail_is_written_from_words_that_are_gone(house: House):
    app = house.app(content=7)
    gone = body(house, app, "old")
    house.run()
    query = f"SELECT count(*) FROM template_versions v WHERE v.id = '{gone}' AND {IS_WHOLE_SQL}"
    assert house.session.execute(query).fetchone() == (0,)
