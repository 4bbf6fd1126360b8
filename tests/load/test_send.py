"""A benchmark in small: 200 mails with the real fleet, counted, and its table."""

import contextlib
import dataclasses
from pathlib import Path

import pytest

from app.config import Settings
from app.db.session import connect
from app.errors import LedgerOff
from infra.load import send, sinks
from infra.load.agreement import require_agreement
from infra.load.figures import table
from infra.load.fleet import Strength
from infra.load.round import counted, send_campaign


@pytest.mark.usefixtures("configured")
def test_two_hundred_mails_are_sent_counted_and_said(configured: Settings, tmp_path: Path):
    with (
        contextlib.closing(connect(configured.database_url, role=None)) as session,
        sinks.stamping(tmp_path) as sink,
    ):
        done = send_campaign(session, sink, tmp_path, leads=200, strength=Strength(processes=1))
        ((campaign_id,),) = session.execute("SELECT id FROM campaigns").fetchall()
        found = counted(session, campaign_id, sink.count())
        assert done.mails == sink.count() == 199  # one of two hundred is suppressed
        require_agreement("mailqueue", 199, found)
        session.execute("DELETE FROM email_events")
        with pytest.raises(LedgerOff):
            require_agreement("mailqueue", 199, counted(session, campaign_id, sink.count()))
    assert done.spent.of("workers") > 0
    said = table("send", send.figures([done], [], []))
    assert "mails/s against BullMQ + Nodemailer" in said
    lines = {figure.name: figure for figure in send.figures([done], [], [])}
    assert lines["mails/s against BullMQ + Nodemailer"].ours == done.per_s
    assert lines["mails/s against BullMQ + Nodemailer"].is_reached is None  # no peer ran
    slow = dataclasses.replace(done, seconds=done.seconds * 100)
    against = {figure.name: figure for figure in send.figures([slow], [], [done])}
    assert against["mails/s against smtp-source"].is_reached is False
