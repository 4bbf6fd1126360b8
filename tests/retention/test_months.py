"""A month leaves whole: into files first, and only when every mail of it has its end."""

import dataclasses
import datetime as dt
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import orjson
import psycopg
import pytest

from app.db import partitions
from app.ids import new_ids
from app.lifecycle import ledger
from app.retention import files, run
from tests import factories
from tests.retention.conftest import NOW, OLD, House

ROOT = Path(__file__).parents[2]
MONTH = "emails_2025_03"
SOON = NOW - dt.timedelta(days=25)  # March is over for less than a month more


def rows_of(folder: Path, series: str) -> list[dict]:
    paths = sorted(folder.glob(f"{series}.*{files.SUFFIX}"))
    return [row for path in paths for row in files.read(path, 1_000_000)]


def test_a_month_past_its_time_is_archived_and_dropped(house: House):
    app = house.app()
    kept = {str(house.mail(app)) for _ in range(3)}
    lines = [line for line in house.run() if line.partition]
    assert {line.partition: line.rows for line in lines if line.rows} == {
        "emails_2025_03": 3,
        "email_events_2025_03": 6,
    }
    assert not house.has_table(MONTH)
    assert not house.has_table("email_events_2025_03")
    assert {row["id"] for row in rows_of(house.folder, MONTH)} == kept
    assert len(rows_of(house.folder, "email_events_2025_03")) == 6


def test_the_audit_log_outlives_the_mail(house: House):
    house.mail(house.app())
    house.run()
    assert house.has_table("audit_logs_2025_03")
    house.run(NOW + dt.timedelta(days=300))
    assert not house.has_table("audit_logs_2025_03")
    assert (house.folder / "audit_logs_2025_03.manifest.json").exists()


def test_the_manifest_names_every_file_with_its_checksum(house: House):
    house.mail(house.app())
    house.run()
    facts = orjson.loads((house.folder / f"{MONTH}.manifest.json").read_bytes())
    assert facts["rows"] == 1
    for file in facts["files"]:
        assert files.checksum(house.folder / file["file"]).hex() == file["sha256"]


def test_an_archive_is_written_in_parts(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.retention.months.PART_ROWS", 4)
    monkeypatch.setattr("app.retention.months._FETCH", 2)
    app = house.app()
    sent = {str(house.mail(app)) for _ in range(9)}
    house.run()
    assert len(list(house.folder.glob(f"{MONTH}.*{files.SUFFIX}"))) == 3
    rows = rows_of(house.folder, MONTH)
    assert len(rows) == 9
    assert {row["id"] for row in rows} == sent


def test_no_address_is_in_an_archive(house: House):
    email_id = house.mail(house.app(), to_email="ann@example.com", reason="550 <ann@example.com>")
    house.run()
    (row,) = rows_of(house.folder, MONTH)
    assert row["id"] == str(email_id)
    assert "ann@example.com" not in orjson.dumps(row).decode()
    events = orjson.dumps(rows_of(house.folder, "email_events_2025_03")).decode()
    assert "ann@example.com" not in events
    assert '"code":250' in events


@pytest.mark.parametrize("status", ["scheduled", "queued", "sending"])
def test_a_month_with_a_mail_that_is_not_finished_stays(house: House, status: str):
    app = house.app()
    house.mail(app)
    house.mail(app, status=status)
    waits = {line.partition: line.why for line in house.run(SOON)}
    assert waits[MONTH] == "1 of its mails have no end yet"
    assert house.count("emails") == 2
    assert house.count("email_events") == 4


def test_a_month_whose_mail_was_let_go_again_at_the_last_moment_goes_back(
    house: House, database: str
):
    app = house.app()
    email_id = house.mail(app)
    (month,) = [m for m in partitions.months(house.session) if m.name == MONTH]
    partitions.detach(house.session, month)
    with psycopg.connect(database) as owner:
        owner.execute(f"UPDATE {MONTH} SET status = 'scheduled', due_at = now()")
    assert MONTH in {line.partition for line in house.run()}
    assert house.count("emails", f"id = '{email_id}'") == 1
    assert not next(m for m in partitions.months(house.session) if m.name == MONTH).is_detached


def test_what_its_mails_need_waits_for_a_month_that_may_go_back(house: House, database: str):
    app = house.app()
    sheet = factories.make_message(house.session, app, id=UUID(new_ids(1, OLD)[0]), created_at=OLD)
    house.mail(app, message_id=sheet)
    (month,) = [m for m in partitions.months(house.session) if m.name == MONTH]
    partitions.detach(house.session, month)
    with psycopg.connect(database) as owner:
        owner.execute(f"UPDATE {MONTH} SET status = 'scheduled', due_at = now()")
    with psycopg.connect(database) as reader:
        reader.execute(f"SELECT count(*) FROM {MONTH}")
        fates = {line.partition: line.action for line in house.run()}
    assert fates == {MONTH: "busy"}
    assert house.count("messages", f"id = '{sheet}'") == 1
    assert house.has_table("email_events_2025_03")


def test_a_month_just_over_stays_also_where_mail_is_kept_for_a_day(house: House):
    house.app(emails=1)
    lines = run.look(house.session, dt.datetime(2025, 9, 3, tzinfo=dt.UTC))
    (august,) = [line for line in lines if line.partition == "emails_2025_08"]
    assert (august.action, august.why) == ("keep", "it leaves on 2025-09-08")


def test_a_month_that_is_not_over_cannot_be_taken_out(house: House):
    now = dt.datetime.now(dt.UTC)
    name = f"emails_{now:%Y_%m}"
    (month,) = [m for m in partitions.months(house.session) if m.name == name]
    with pytest.raises(psycopg.errors.RaiseException, match="no month that is over"):
        partitions.detach(house.session, month)


def test_postgresql_refuses_to_drop_what_is_not_archived(house: House):
    (month,) = [m for m in partitions.months(house.session) if m.name == MONTH]
    partitions.detach(house.session, month)
    with pytest.raises(psycopg.errors.RaiseException, match="is not archived"):
        partitions.drop(house.session, dataclasses.replace(month, is_detached=True))


def test_a_damaged_file_is_written_again_before_anything_is_dropped(house: House):
    house.mail(house.app())
    (month,) = [m for m in partitions.months(house.session) if m.name == MONTH]
    died_before(house, "drop")
    (house.folder / f"{MONTH}.0001{files.SUFFIX}").write_bytes(b"rotten")
    house.run()
    assert house.has_table(MONTH)
    house.run()
    assert not house.has_table(MONTH)
    assert len(rows_of(house.folder, month.name)) == 1


# The process of a run that kills itself when a function of this name is called.
DIES = """
import datetime as dt, os, signal, sys
from pathlib import Path
from app.audit import Author
from app.db.session import connect
from app.retention import run
url, amqp, folder, now, step = sys.argv[1:]
def strike(frame, event, arg):
    code = frame.f_code
    if event == "call" and code.co_name == step and "/app/" in code.co_filename:
        os.kill(os.getpid(), signal.SIGKILL)
order = run.Order(author=Author(name="test"), folder=Path(folder), rabbitmq_url=amqp,
                  longest=dt.timedelta(minutes=5))
session = connect(url)
sys.setprofile(strike)
run.run(session, dt.datetime.fromisoformat(now), order)
"""


def died_before(house: House, step: str, now: dt.datetime = NOW) -> None:
    info = house.session.info
    url = f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"
    argv = [url, house.rabbitmq_url, str(house.folder), now.isoformat(), step]
    done = subprocess.run([sys.executable, "-c", DIES, *argv], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "step",
    [
        "detach",
        "count_detached",
        "take_back",
        "archive",
        "_lines",
        "_name",
        "note",
        "_is_there",
        "write_manifest",
        "drop",
        "_archived",
    ],
)
def test_a_run_that_is_killed_loses_nothing_and_the_next_goes_on(house: House, step: str):
    app = house.app()
    message = factories.make_message(house.session, app, recipients=3)
    kept = {str(house.mail(app, message_id=message)) for _ in range(3)}
    died_before(house, step)
    house.run()
    assert not house.has_table(MONTH)
    assert not house.has_table("email_events_2025_03")
    assert sorted(row["id"] for row in rows_of(house.folder, MONTH)) == sorted(kept)
    assert len(rows_of(house.folder, "email_events_2025_03")) == 6
    assert ledger.of_app(house.session, app).off_by == 0
    assert not list(house.folder.glob(".*partial"))


def test_books_balance_without_the_mails(house: House):
    app = house.app()
    message = factories.make_message(house.session, app, recipients=3)
    for status in ("sent", "bounced", "failed"):
        house.mail(app, message_id=message, status=status)
    before = ledger.of_app(house.session, app)
    house.run()
    assert house.count("emails") == 0
    assert ledger.of_app(house.session, app) == before
    assert (before.sent, before.failed, before.off_by) == (2, 1, 0)


def test_a_table_in_use_is_left_for_the_next_run(house: House, database: str):
    house.mail(house.app())
    with psycopg.connect(database) as reader:
        reader.execute("SELECT count(*) FROM emails")
        fates = {line.partition: line.action for line in house.run()}
    assert fates[MONTH] == "busy"
    assert house.count("emails") == 1
    house.run()
    assert not house.has_table(MONTH)


def test_one_parked_mail_does_not_keep_a_month_for_ever(house: House):
    app = house.app()
    message = factories.make_message(house.session, app, recipients=3)
    gone = {str(house.mail(app, message_id=message)) for _ in range(2)}
    parked = house.mail(app, message_id=message, status="scheduled")
    before = ledger.of_app(house.session, app)
    lines = {line.partition: line for line in house.run()}
    assert (lines[MONTH].action, lines[MONTH].rows) == ("thinned out", 2)
    assert house.session.execute("SELECT id FROM emails").fetchall() == [(parked,)]
    assert {row["id"] for row in rows_of(house.folder, f"{MONTH}_early")} == gone
    assert len(rows_of(house.folder, "email_events_2025_03_early")) == 4
    assert ledger.of_app(house.session, app) == before
    house.session.execute("UPDATE emails SET status = 'cancelled', due_at = NULL")
    house.run()
    assert not house.has_table(MONTH)
    assert [row["id"] for row in rows_of(house.folder, MONTH)] == [str(parked)]
    assert len(rows_of(house.folder, "email_events_2025_03")) == 2
    assert ledger.of_app(house.session, app).off_by == 0


@pytest.mark.parametrize("step", ["_archive", "_name", "note", "delete", "_close"])
def test_thinning_out_that_is_killed_loses_nothing(house: House, step: str):
    app = house.app()
    message = factories.make_message(house.session, app, recipients=3)
    gone = {str(house.mail(app, message_id=message)) for _ in range(2)}
    house.mail(app, message_id=message, status="scheduled")
    died_before(house, step)
    house.run()
    assert house.count("emails") == 1
    assert {row["id"] for row in rows_of(house.folder, f"{MONTH}_early")} == gone
    assert ledger.of_app(house.session, app).off_by == 0
