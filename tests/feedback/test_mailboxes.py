"""Answers that arrive in an account's own mailbox, on a real Dovecot: read over IMAP, once."""

import datetime as dt
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

import psycopg
import pytest

from actors.inbound import work_off
from app.config import Settings
from app.feedback import polls
from app.feedback.polls import Cursor, Turn
from app.inbound.mailboxes import CONNECTIONS, MOST_BYTES, MailboxReader
from app.mail.verp import AddressUse
from app.queueing.payloads import InboundPayload
from app.smtp.connection import Security
from app.tenancy import mailboxes
from app.tenancy.mailboxes import Mailbox
from infra.local.places import ROOT
from infra.local.ports import LOOPBACK
from tests.factories import AUTHOR, BOX, make_account, make_app
from tests.feedback.answers import report, returned, written
from tests.feedback.conftest import TO, Sequence
from tests.peers.dovecot import PASSWORD, SOUTH, Dovecot

pytestmark = pytest.mark.usefixtures("trusting")
_users = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A mailbox of the sequence's account, and what reads it."""

    server: Dovecot
    lead: Sequence
    reader: MailboxReader
    mailbox: Mailbox

    def deliver(self, *mails: bytes) -> None:
        self.server.deliver(self.mailbox.username, *mails, folder=self.mailbox.folder)

    def turn(self) -> Turn | None:
        """Take whose turn it is, whatever the hour."""
        polls.begin(self.lead.session)
        self.lead.session.execute("UPDATE mailbox_states SET due_at = now()")
        return polls.take(self.lead.session)

    def read(self) -> list[UUID]:
        """Look into every mailbox once, and work off what is there; return what is stored."""
        turn = self.turn()
        while turn is not None:
            self.reader.look(self.lead.session, turn)
            turn = polls.take(self.lead.session)
        return self.work_off()

    def work_off(self) -> list[UUID]:
        rows = self.lead.session.execute("SELECT id FROM inbound_messages ORDER BY id").fetchall()
        ids = [row[0] for row in rows]
        if ids:
            work_off(InboundPayload(message_ids=ids))
        return ids

    def state(self) -> polls.MailboxState:
        found = polls.state(self.lead.session, self.lead.app_id, self.lead.account_id)
        assert found is not None
        return found

    def answer(self, text: str = "Gladly!", **headers: str) -> bytes:
        """A reply to the sequence's first mail."""
        thread = {"In_Reply_To": message_id(self.lead.first)}
        return written("Re: Hello", text, **thread | headers)


def message_id(email_id: UUID) -> str:
    return f"<{email_id.hex}@example.org>"


@pytest.fixture
def reader(listening: Settings) -> MailboxReader:
    made = MailboxReader(listening)
    yield made
    made._publisher.close()


@pytest.fixture
def desk(mailserver, sequence, reader) -> Desk:
    lead = sequence()
    mailbox = Mailbox(
        app_id=lead.app_id,
        account_id=lead.account_id,
        host=LOOPBACK,
        port=mailserver.port,
        username=f"user{os.getpid()}-{next(_users)}",
        password=PASSWORD,
    )
    put(lead, mailbox)
    return Desk(server=mailserver, lead=lead, reader=reader, mailbox=mailbox)


def put(lead: Sequence, mailbox: Mailbox) -> None:
    mailboxes.put(lead.session, BOX, mailbox, AUTHOR)


def test_a_reply_stops_the_sequence_and_stays_unread_where_it_is(desk):
    desk.deliver(written("News", "of others"), desk.answer())

    assert len(desk.read()) == 1
    lead = desk.lead
    assert (lead.enrolment_status, lead.status(lead.second)) == ("stopped", "cancelled")
    assert lead.events(lead.first) == ["first_replied", "replied"]
    row = "SELECT recipient, kind, account_id FROM inbound_messages"
    stored = lead.session.execute(row).fetchall()
    assert stored == [("sender@example.com", "reply", lead.account_id)]
    with desk.server.client(desk.mailbox.username) as owner:
        flags = owner.get_flags(owner.search()).values()
        assert [[flag for flag in each if flag != rb"\Recent"] for each in flags] == [[], []]


def test_a_delivery_report_suppresses(desk):
    desk.deliver(returned(TO, message_id(desk.lead.first)))

    assert len(desk.read()) == 1
    lead = desk.lead
    assert (lead.status(lead.first), lead.suppressed_for) == ("bounced", "hard_bounce")
    assert lead.enrolment_status == "stopped"


def test_half_a_character_stops_no_reading(desk):
    desk.deliver(b"Return-Path: <=?utf-7?q?a+2AA-?=@example.com>\r\n" + desk.answer())

    assert len(desk.read()) == 1
    assert desk.lead.enrolment_status == "stopped"


def test_a_machines_answer_stops_nothing(desk):
    desk.deliver(desk.answer("We got it.", Auto_Submitted="auto-replied"))

    assert len(desk.read()) == 1
    assert desk.lead.enrolment_status == "active"
    assert desk.lead.events(desk.lead.first) == ["auto_replied"]


@pytest.mark.parametrize(
    "raw",
    [
        report(TO),
        returned(TO, "<0123456789abcdef0123456789abcdef@example.org>"),
        written("Re: Hello", "Gladly!", In_Reply_To="<1@elsewhere.example>"),
        b"\xff\x00 no mail at all",
    ],
)
def test_what_names_none_of_our_mails_is_not_kept(desk, raw):
    desk.deliver(raw)

    assert desk.read() == []
    assert desk.state().failures == 0
    assert desk.lead.suppressed_for is None


def test_a_report_about_another_recipient_suppresses_nobody(desk):
    desk.deliver(returned("somebody@else.example", message_id(desk.lead.first)))

    assert len(desk.read()) == 1
    assert desk.lead.suppressed_for is None


def test_a_mail_of_another_app_is_not_answered_here(session, desk):
    other = make_app(session).id
    elsewhere = replace(desk.mailbox, app_id=other, account_id=make_account(session, other).id)
    put(desk.lead, elsewhere)
    mailboxes.delete(session, desk.mailbox, AUTHOR)
    desk.deliver(desk.answer())

    assert desk.read() == []
    assert desk.lead.enrolment_status == "active"


def test_what_the_account_itself_wrote_is_no_answer(desk):
    own = desk.answer().replace(b"ana@example.com", b"sender@example.com")
    step = desk.answer().replace(b"<answer-1@example.com>", message_id(desk.lead.second).encode())
    desk.deliver(own, step)

    assert desk.read() == []


def test_a_coded_address_says_which_mail_and_what_for(desk, coded):
    bounce = coded.address(AddressUse.BOUNCE, desk.lead.first).encode()
    desk.deliver(b"Delivered-To: " + bounce + b"\r\n" + report(TO))

    assert len(desk.read()) == 1
    assert desk.lead.suppressed_for == "hard_bounce"
    recipient = desk.lead.value("SELECT recipient FROM inbound_messages")
    assert recipient == bounce.decode()


def test_a_report_at_the_printed_reply_address_suppresses_nobody(desk, coded):
    printed = coded.address(AddressUse.REPLY, desk.lead.first).encode()
    desk.deliver(b"Delivered-To: " + printed + b"\r\n" + report(TO))

    assert len(desk.read()) == 1
    assert desk.lead.suppressed_for is None


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_a_folder_of_any_name_is_read_either_way(desk, security):
    is_tls = security is Security.TLS
    port = desk.server.port if is_tls else desk.server.starttls_port
    mailbox = replace(desk.mailbox, folder=SOUTH, security=security, port=port)
    put(desk.lead, mailbox)
    replace(desk, mailbox=mailbox).deliver(desk.answer())

    assert len(desk.read()) == 1


def test_only_what_is_new_is_read(desk):
    desk.deliver(desk.answer())
    assert len(desk.read()) == 1
    desk.deliver(desk.answer("And another thing.", Message_ID="<answer-2@example.com>"))

    assert len(desk.read()) == 2
    assert len(desk.read()) == 2
    assert desk.lead.counted("replied") == 1


def test_mail_of_before_the_mailbox_was_named_is_not_read(desk):
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=9)
    with desk.server.client(desk.mailbox.username) as owner:
        owner.append("INBOX", desk.answer(), msg_time=long_ago)

    assert desk.read() == []


def test_a_folder_made_anew_brings_nothing_twice(desk):
    mailbox = replace(desk.mailbox, folder="Replies")
    put(desk.lead, mailbox)
    with desk.server.client(mailbox.username) as owner:
        owner.create_folder("Replies")
        owner.append("Replies", desk.answer())
    assert len(desk.read()) == 1
    with desk.server.client(mailbox.username) as owner:
        owner.delete_folder("Replies")
        owner.create_folder("Replies")
        owner.append("Replies", written("News", "of others"))
        owner.append("Replies", desk.answer())
        owner.append("Replies", desk.answer("New!", Message_ID="<answer-2@example.com>"))

    assert len(desk.read()) == 2


def test_a_mail_larger_than_we_keep_is_cut(desk):
    desk.deliver(desk.answer() + b"x" * 70 * (MOST_BYTES // 70) + b"\r\n" * 1_000)

    assert len(desk.read()) == 1
    assert desk.lead.value("SELECT length(raw) FROM inbox_message_content") == MOST_BYTES
    assert desk.lead.enrolment_status == "stopped"


def test_a_broken_mailbox_rests_with_its_reason_and_delays_no_other(session, desk):
    put(desk.lead, replace(desk.mailbox, password="wrong"))
    other = make_account(session, desk.lead.app_id).id
    put(desk.lead, replace(desk.mailbox, account_id=other))
    desk.deliver(desk.answer())
    for _ in range(3):
        desk.read()

    broken = desk.state()
    assert (broken.failures >= 2, broken.failed_step) == (True, "auth")
    assert "refused the login" in (broken.problem or "")
    assert broken.failing_since is not None
    assert broken.due_at > dt.datetime.now(dt.UTC) + dt.timedelta(minutes=3)
    assert len(desk.work_off()) == 1

    put(desk.lead, desk.mailbox)
    session.execute("DELETE FROM mailboxes WHERE account_id = %s", (other,))
    desk.read()
    assert (desk.state().failures, desk.state().problem) == (0, None)


def test_a_private_address_is_never_connected_to(desk):
    reader = MailboxReader(desk.reader._now.model_copy(update={"smtp_allowed_networks": ""}))
    replace(desk, reader=reader).read()
    reader._publisher.close()

    assert desk.state().failed_step == "resolve"
    assert "not on the public internet" in (desk.state().problem or "")


def test_a_turn_is_one_readers_alone(desk):
    desk.deliver(desk.answer())
    late = desk.turn()
    assert desk.turn() is None
    desk.lead.session.execute("UPDATE mailbox_states SET lease_until = now()")  # it passed
    desk.reader.look(desk.lead.session, desk.turn())
    desk.reader.look(desk.lead.session, late)  # it was frozen, and wakes

    assert len(desk.work_off()) == 1
    assert desk.state().failures == 0


def test_a_reader_whose_lease_has_passed_writes_nothing(session, desk):
    late = desk.turn()
    session.execute("UPDATE mailbox_states SET lease_until = now()")
    assert desk.turn() is not None
    cursor = Cursor(place="elsewhere", uid_validity=1, last_uid=9)
    assert polls.keep(session, late, cursor, []) is None
    polls.done(session, late, has_more=True)
    polls.failed(session, late, "read", "It was frozen.")

    left = "SELECT place, last_uid, failures, read_at, lease_until > now() FROM mailbox_states"
    assert session.execute(left).fetchall() == [("", 0, 0, None, True)]


def test_a_paused_mailbox_is_not_read(desk):
    put(desk.lead, replace(desk.mailbox, status="paused"))

    assert desk.turn() is None


def test_what_never_works_is_tried_once_an_hour(session, desk):
    for _ in range(12):
        polls.failed(session, desk.turn(), "auth", "No.")

    pause = session.execute("SELECT due_at - now() FROM mailbox_states").fetchone()[0]
    assert polls.LONGEST_PAUSE / 2 < pause <= polls.LONGEST_PAUSE


def test_of_one_host_only_a_few_are_read_at_once(session, desk):
    for _ in range(polls.PER_HOST + 1):
        account = make_account(session, desk.lead.app_id).id
        put(desk.lead, replace(desk.mailbox, account_id=account))
    elsewhere = replace(desk.mailbox, account_id=make_account(session, desk.lead.app_id).id)
    put(desk.lead, replace(elsewhere, host="imap.example.com"))

    turns = [desk.turn() for _ in range(polls.PER_HOST + 2)]
    taken = [turn.account_id for turn in turns if turn is not None]
    assert len(taken) == polls.PER_HOST + 1
    assert elsewhere.account_id in taken


def test_of_those_that_failed_only_a_few_are_tried_at_once(session, desk):
    for number in range(polls.FAILING + 1):
        account = make_account(session, desk.lead.app_id).id
        put(desk.lead, replace(desk.mailbox, account_id=account, host=f"imap{number}.example.com"))
    polls.begin(session)
    failing = "failures = 1, failing_since = now(), failed_step = 'auth'"
    session.execute(
        f"UPDATE mailbox_states SET {failing} WHERE account_id <> %s", (desk.lead.account_id,)
    )

    turns = [desk.turn() for _ in range(polls.FAILING + 2)]
    taken = [turn.account_id for turn in turns if turn is not None]
    assert taken[0] == desk.lead.account_id
    assert len(taken) == polls.FAILING + 1


def test_what_was_fetched_and_could_not_be_committed_is_fetched_again(session, desk):
    desk.deliver(desk.answer())
    as_owner(session, "ALTER TABLE inbox_message_content ADD CONSTRAINT never CHECK (false)")
    with pytest.raises(psycopg.errors.CheckViolation):
        desk.read()
    assert (count(session), desk.state().failed_step) == (0, "read")
    as_owner(session, "ALTER TABLE inbox_message_content DROP CONSTRAINT never")

    assert len(desk.read()) == 1
    assert desk.state().failures == 0


@pytest.fixture
def failing(session) -> Iterator[None]:
    """PostgreSQL refuses to give out turns; the sequence counts how often."""
    as_owner(session, "CREATE SEQUENCE refused")
    as_owner(
        session,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        " $$ BEGIN PERFORM nextval('refused'); RAISE EXCEPTION 'never'; END $$",
    )
    refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON mailbox_states EXECUTE FUNCTION refuse()"
    as_owner(session, refuse)
    as_owner(session, "GRANT SELECT ON refused TO mailqueue_worker")
    yield
    as_owner(session, "DROP FUNCTION refuse CASCADE")
    as_owner(session, "DROP SEQUENCE refused")


def mend(session) -> None:
    as_owner(session, "DROP TRIGGER refuse ON mailbox_states")


@pytest.mark.usefixtures("failing")
def test_a_turn_that_was_not_given_out_takes_no_connection(session, desk):
    desk.deliver(desk.answer())
    for _ in range(CONNECTIONS):
        with pytest.raises(psycopg.errors.RaiseException):
            desk.reader._give_out(session)
    mend(session)
    desk.reader._give_out(session)
    desk.reader._threads.shutdown()

    assert count(session) == 1


@pytest.mark.usefixtures("failing")
def test_what_nobody_expected_ends_no_reading(session, desk):
    desk.deliver(desk.answer())
    with desk.reader:
        wait_for(lambda: session.execute("SELECT is_called FROM refused").fetchone()[0])
        mend(session)
        wait_for(lambda: count(session) == 1)


MANY, KILLS = 40, 4


@pytest.mark.usefixtures("listening")
def test_a_reader_killed_again_and_again_loses_and_doubles_nothing(session, desk):
    answers = [
        desk.answer(f"Answer {n}", Message_ID=f"<a{n}@example.com>", X_Number=str(n))
        for n in range(MANY)
    ]
    for kill in range(KILLS):
        desk.deliver(*answers[kill :: KILLS + 1])
        stored = count(session)
        process = inbound()
        try:
            wait_for(lambda seen=stored: count(session) > seen)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # Its lease has passed, and the mailbox is due.
        session.execute("UPDATE mailbox_states SET lease_until = now(), due_at = now()")
    desk.deliver(*answers[KILLS :: KILLS + 1])
    desk.read()

    raws = session.execute("SELECT raw FROM inbox_message_content").fetchall()
    assert sorted(bytes(row[0]) for row in raws) == sorted(answers)
    assert desk.lead.counted("replied") == 1


def as_owner(session, statement: str) -> None:
    for each in ("SET ROLE NONE", statement, "SET ROLE mailqueue_worker"):
        session.execute(each)


def inbound() -> subprocess.Popen[bytes]:
    """Start `mailqueue inbound` with this process's settings."""
    command = [sys.executable, "-m", "app", "inbound"]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def count(session) -> int:
    return session.execute("SELECT count(*) FROM inbound_messages").fetchone()[0]


def wait_for(condition, within_s: float = 90.0) -> None:
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.01)
