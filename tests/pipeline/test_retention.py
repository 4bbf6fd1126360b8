"""The clock's retention: a tick lets go what is past its time."""

import datetime as dt
from pathlib import Path
from uuid import UUID

import pytest

from app.db.session import Session
from app.ids import new_ids
from app.queueing.payloads import TickPayload
from tests import factories


@pytest.mark.usefixtures("configured")
def test_a_tick_archives_a_month_that_is_over(session: Session, tmp_path: Path):
    from actors import retain  # noqa: PLC0415 - the broker is made from this test's settings

    old = dt.datetime(2025, 3, 10, tzinfo=dt.UTC)
    session.execute("SELECT mailqueue_create_partition('emails', %s)", (old.date(),))
    app_id = factories.make_app(session).id
    factories.make_email(session, app_id, id=UUID(new_ids(1, old)[0]), status="sent")
    retain.retain(TickPayload())
    assert session.execute("SELECT to_regclass('emails_2025_03')").fetchall() == [(None,)]
    assert (tmp_path / "archive" / "emails_2025_03.manifest.json").exists()
