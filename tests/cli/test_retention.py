"""`mailqueue retention`: said before it is done, done, and the archive read again."""

import datetime as dt
from pathlib import Path
from uuid import UUID

import pytest

from app.db.session import Session
from app.ids import new_ids
from tests import factories
from tests.cli.conftest import Run

OLD = dt.datetime(2025, 3, 10, tzinfo=dt.UTC)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def old_mail(session: Session) -> UUID:
    for parent in ("emails", "email_events"):
        session.execute("SELECT mailqueue_create_partition(%s, %s)", (parent, OLD.date()))
    email_id = UUID(new_ids(1, OLD)[0])
    app_id = factories.make_app(session, "shop").id
    return factories.make_email(session, app_id, id=email_id, status="sent")


def test_a_dry_run_names_the_month_and_changes_nothing(
    old_mail: UUID, mailqueue: Run, session: Session
):
    lines = mailqueue("retention", "run", "--dry-run", "--json").json
    (march,) = [line for line in lines if line["partition"] == "emails_2025_03"]
    assert (march["action"], march["rows"]) == ("archive and drop", 1)
    assert session.execute("SELECT id FROM emails").fetchall() == [(old_mail,)]
    said = mailqueue("retention", "run", "--dry-run")
    assert "archive and drop" in said.out


def test_what_was_archived_can_be_listed_and_read(old_mail: UUID, mailqueue: Run, archive: Path):
    assert mailqueue("retention", "run").code == 0
    listed = mailqueue("retention", "list", "--json").json
    assert {one["series"] for one in listed} == {"emails_2025_03", "email_events_2025_03"}
    shown = mailqueue("retention", "show", archive / "emails_2025_03.0001.ndjson.gz", "--json").json
    assert shown["is_verified"]
    assert [row["id"] for row in shown["rows"]] == [str(old_mail)]


def test_a_damaged_file_is_said_to_be_damaged(old_mail: UUID, mailqueue: Run, archive: Path):
    del old_mail
    mailqueue("retention", "run")
    file = archive / "emails_2025_03.0001.ndjson.gz"
    file.write_bytes(file.read_bytes()[:-3])
    refused = mailqueue("retention", "show", file)
    assert refused.code == 1
    assert "is damaged" in refused.err
    assert mailqueue("retention", "show", archive / "nothing.gz").code == 1
