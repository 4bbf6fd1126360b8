"""A worker that reads both stages sends what it assembled itself; others leave it to a queue."""

import contextlib
import json

import pytest

from app.queueing.depth import DepthGauge
from tests.factories import make_email

ASSEMBLE, SEND = "assemble.normal", "send.normal"


@pytest.fixture(autouse=True)
def said_aloud(configured, monkeypatch) -> None:
    del configured  # it clears these settings
    monkeypatch.setenv("MAILQUEUE_LOG_LEVEL", "debug")
    monkeypatch.setenv("MAILQUEUE_LOG_FORMAT", "json")


def senders(fleet) -> list[str]:
    """Return the actors that sent a chunk, as the log tells."""
    lines = (json.loads(line) for line in fleet.log.splitlines() if line.startswith("{"))
    return [line["actor"] for line in lines if line.get("event") == "chunk.sent"]


def is_sent(session, email_id) -> bool:
    query = "SELECT status = 'sent' FROM emails WHERE id = %s"
    return session.execute(query, (email_id,)).fetchall() == [(True,)]


def test_one_process_assembles_and_sends_without_another_hop(
    session, make_sender, run_pass, fleet, inbox, until
) -> None:
    sender = make_sender()
    email_id = make_email(session, sender.app_id, **sender.fields)
    run_pass()
    fleet.start_stages(ASSEMBLE, SEND)
    until(lambda: is_sent(session, email_id), 60)
    until(lambda: senders(fleet) == ["assemble_normal"], 60)
    assert len(inbox.messages()) == 1


def test_a_process_of_one_stage_leaves_the_sending_to_another(
    session, configured, make_sender, run_pass, fleet, tmp_path, inbox, until
) -> None:
    sender = make_sender()
    email_id = make_email(session, sender.app_id, **sender.fields)
    run_pass()
    fleet.start_stages(ASSEMBLE)
    with contextlib.closing(DepthGauge(configured.rabbitmq_url)) as depths:
        until(lambda: depths.ready(SEND) == 1, 60)
    assert not is_sent(session, email_id)
    other = type(fleet)(tmp_path / "other.log")
    other.start_stages(SEND)
    until(lambda: is_sent(session, email_id), 60)
    until(lambda: senders(other) == ["send_normal"], 60)
    other.stop()
    assert senders(fleet) == []
    assert len(inbox.messages()) == 1
