"""Seeding the demo twice changes nothing, and what it makes can be started."""

import smtplib
from pathlib import Path

import pytest

from app.campaigns import campaigns
from app.campaigns.campaigns import Status
from app.clock import utc_now
from app.config import Settings
from app.db.session import Session
from app.demo.mailbox import Mailbox, request
from app.demo.stage import DEMO, SENDERS, set_up, subjects
from app.errors import DependencyUnavailable
from app.inbox.server import Inbox
from app.lifecycle import ledger
from app.tenancy import email_accounts

MAIL = b"""\
From: zoe@roasters.example\r
To: anna@example.com\r
Subject: A tasting for you?\r
Message-ID: <1@roasters.example>\r
List-Unsubscribe: <http://127.0.0.1:1/u/token>\r
Content-Type: text/html; charset=utf-8\r
\r
<a href="http://127.0.0.1:1/c/mail/link">x</a><img src="http://127.0.0.1:1/t/token.gif" width="1">\r
"""


def silent(_rows: int, _bytes: int) -> None:
    pass


def test_seeding_twice_changes_nothing(session: Session, settings: Settings) -> None:
    first = set_up(session, settings, "demo", silent)
    again = set_up(session, settings, "demo", silent)
    assert (first.imported.added, again.imported.added) == (500, 0)
    assert first.campaign == again.campaign
    assert first.campaign.status is Status.DRAFT
    accounts = email_accounts.list_all(session, first.app.id)
    assert {account.address for account in accounts} == {address for address, _ in SENDERS}


def test_the_campaign_reaches_every_lead(session: Session, settings: Settings) -> None:
    stage = set_up(session, settings, "demo", silent)
    campaigns.start(session, stage.app.id, stage.campaign.name, DEMO, utc_now())
    enrolled = session.execute("SELECT count(*) FROM enrolments").fetchone()
    assert enrolled == (500,)
    assert ledger.of_campaign(session, stage.campaign.id).off_by == 0


def test_each_step_has_a_subject_of_its_own() -> None:
    assert len(set(subjects())) == 3


def test_the_mailbox_finds_what_can_be_requested(tmp_path: Path) -> None:
    with Inbox(tmp_path) as inbox:
        with smtplib.SMTP("127.0.0.1", inbox.smtp_port) as client:
            client.sendmail("zoe@roasters.example", ["anna@example.com"], MAIL)
        mailbox = Mailbox("127.0.0.1", inbox.http_port)
        (arrived,) = mailbox.after(0)
        contents = mailbox.contents(arrived.seq)
        assert mailbox.newest() == arrived.seq
    assert (arrived.recipient, arrived.subject) == ("anna@example.com", "A tasting for you?")
    assert contents.pixel == "http://127.0.0.1:1/t/token.gif"
    assert contents.links == ("http://127.0.0.1:1/c/mail/link",)
    assert contents.unsubscribe == "http://127.0.0.1:1/u/token"


def test_a_server_that_is_away_is_named() -> None:
    with pytest.raises(DependencyUnavailable, match=r"127\.0\.0\.1:1"):
        request("GET", "http://127.0.0.1:1/", "test")
