"""Mails leave through a real Postfix, and its real reports come home and are understood."""

from dataclasses import dataclass

import pytest

from actors.inbound import sweep_inbound
from app.queueing.payloads import TickPayload
from tests.factories import make_email
from tests.peers.postfix import Routes, postfix
from tests.peers.refusing import At, Says, refusing
from tests.pipeline.conftest import DOMAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the recipient's server says, and what is to be understood of Postfix's report."""

    says: Says
    class_: str
    status: str
    suppressed: bool = False
    delays: bool = False


def rcpt(reply: str) -> Says:
    return Says(reply=reply)


def dot(reply: str) -> Says:
    return Says(reply=reply, at=At.DOT)


def hard(reply: str, status: str) -> Case:
    return Case(says=rcpt(reply), class_="hard", status=status, suppressed=True)


def soft(reply: str, status: str) -> Case:
    return Case(says=rcpt(reply), class_="soft", status=status)


def late(reply: str, status: str) -> Case:
    return Case(says=rcpt(reply), class_="soft", status=status, delays=True)


def block(says: Says, status: str) -> Case:
    return Case(says=says, class_="block", status=status)


CASES = {
    "unknown": hard("550 5.1.1 <unknown>: Recipient address rejected: User unknown", "5.1.1"),
    "plain": hard("550 No such user here", "5.0.0"),
    "domain": hard("550 5.1.2 Bad destination mailbox address", "5.1.2"),
    "syntax": hard("553 5.1.3 Bad destination mailbox address syntax", "5.1.3"),
    "moved": hard("550 5.1.6 Mailbox has moved, no forwarding address", "5.1.6"),
    "nullmx": hard("556 5.1.10 Recipient address has null MX", "5.1.10"),
    "disabled": hard("550 5.2.1 The email account is disabled", "5.2.1"),
    "full": soft("552 5.2.2 Mailbox is full", "5.2.2"),
    "big": soft("552 5.3.4 Message too big for system", "5.3.4"),
    "policy": block(rcpt("550 5.7.1 Service refused, client host blocked"), "5.7.1"),
    "spam": block(dot("554 5.7.1 Message rejected as spam"), "5.7.1"),
    "dmarc": block(dot("550 5.7.26 Unauthenticated email is not accepted (DMARC)"), "5.7.26"),
    "grey": late("450 4.7.1 Greylisted, please try again later", "4.7.1"),
    "quota": late("452 4.2.2 Mailbox over quota", "4.2.2"),
    "busy": late("451 4.3.0 Temporary lookup failure", "4.3.0"),
    "good": Case(says=rcpt("250 2.1.5 Ok"), class_="none", status=""),
}
BOUNCED = {name for name, case in CASES.items() if case.class_ != "none"}


def to(name: str) -> str:
    return f"{name}@{name}.example"


@pytest.fixture
def next_hop(server):
    table = {to(name): case.says for name, case in CASES.items()}
    with (
        refusing(table) as onward,
        postfix(Routes(domain=DOMAIN, home=server.port, onward=onward), lifetime_s=8) as found,
    ):
        yield found


@pytest.mark.usefixtures("server")
def test_every_report_of_postfix_finds_its_mail_and_gets_the_right_class(
    session, next_hop, make_sender, fleet, run_pass, until
):
    sender = make_sender(next_hop.port)
    ids = {
        make_email(session, sender.app_id, to_email=to(name), **sender.fields): name
        for name in CASES
    }
    fleet.start()
    run_pass()

    def settled() -> bool:
        sweep_inbound(TickPayload())  # a report may be faster than the note that the mail was sent
        rows = session.execute("SELECT id, status FROM emails").fetchall()
        return {ids[email_id] for email_id, status in rows if status == "bounced"} == BOUNCED

    until(settled, 120)
    # Every report has its mail, its recipient and its class.
    found = session.execute(
        "SELECT email_id, classification->>'class', classification->>'status',"
        " classification->'recipients'->0->>'address', status FROM inbound_messages"
        " WHERE classification->>'class' <> 'delayed'"
    ).fetchall()
    expected = [
        (email_id, CASES[name].class_, CASES[name].status, to(name), "processed")
        for email_id, name in ids.items()
        if name in BOUNCED
    ]
    assert sorted(found) == sorted(expected), next_hop.log
    assert {name for name in CASES if CASES[name].delays} == {
        ids[row[0]]
        for row in session.execute("SELECT email_id FROM email_events WHERE type = 'delayed'")
    }
    suppressed = session.execute("SELECT email, reason FROM suppression_list").fetchall()
    assert sorted(suppressed) == sorted(
        (to(name), "hard_bounce") for name, case in CASES.items() if case.suppressed
    )
    slowed = session.execute("SELECT domain FROM domain_pacing").fetchall()
    blocked = {f"{name}.example" for name, case in CASES.items() if case.class_ == "block"}
    assert {row[0] for row in slowed} == blocked
    good = "SELECT status FROM emails WHERE to_email = %s"
    assert session.execute(good, (to("good"),)).fetchall() == [("sent",)]
