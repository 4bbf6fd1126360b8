"""The loop closed: a mail leaves, its bounce comes back over SMTP, and nothing else is sent."""

import os
import smtplib
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg

from app.mail import verp
from app.mail.verp import AddressUse
from tests.factories import (
    insert,
    make_campaign,
    make_email,
    make_lead,
    make_step,
)
from tests.feedback.answers import report
from tests.pipeline.conftest import DOMAIN

BURST = int(os.environ.get("MAILQUEUE_TEST_BOUNCES", "500"))


def mail_to(server, recipient, raw):
    """Hand a mail over as a mail server does: again and again until it is taken."""
    with smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client:
        client.ehlo("mx.example")
        client.mail("")
        assert client.rcpt(recipient)[0] == 250
        return client.data(raw)[0]


def test_a_bounce_comes_home_and_stops_the_sequence(
    session, server, make_sender, run_pass, fleet, inbox, until
):
    sender = make_sender(codes_replies=True)
    app_id = sender.app_id
    account = sender.fields["account_id"]
    campaign_id = make_campaign(session, app_id, account_id=account)
    for position, hours in ((1, 0), (2, 24)):
        make_step(session, campaign_id, position=position, wait_hours=hours)
    lead_id = make_lead(session, app_id, "gone@example.com")
    row = {"campaign_id": campaign_id, "lead_id": lead_id, "account_id": account}
    enrolment = {"id": lead_id, "app_id": app_id, **row}
    insert(session, "enrolments", enrolment)
    session.execute("UPDATE enrolments SET due_at = now() - interval '1 s'")
    fleet.start()
    run_pass()
    until(inbox.messages, 60)
    (mail,) = inbox.messages()
    assert mail.mail_from.startswith("b+")
    assert mail.mail_from.endswith("@" + DOMAIN)
    _, written = inbox.store.open(mail.seq)
    assert b"\r\nList-Unsubscribe: <mailto:unsubscribe+" in written
    assert b"\r\nReply-To: r+" in written

    assert mail_to(server, mail.mail_from, report("gone@example.com")) == 250

    found = "SELECT e.status, n.status, n.stop_reason FROM emails e, enrolments n"
    expected = ("bounced", "stopped", "hard_bounce")
    until(lambda: session.execute(found).fetchone() == expected, 120)
    reasons = session.execute("SELECT email, reason FROM suppression_list").fetchall()
    assert reasons == [("gone@example.com", "hard_bounce")]


def test_a_burst_of_bounces_survives_cut_connections(
    session, database_url, listening, server, fleet, make_sender, until
):
    coded = verp.coded_domain(DOMAIN, listening.tracking_keys.get_secret_value())
    sender = make_sender()
    ids = {
        make_email(
            session, sender.app_id, to_email=f"r{n}@example.com", status="sent", **sender.fields
        ): f"r{n}@example.com"
        for n in range(BURST)
    }
    fleet.start_stages("inbound", "maintenance")
    is_over = threading.Event()
    cutter = threading.Thread(target=cut_until, args=(is_over, database_url, session))
    cutter.start()
    try:
        with ThreadPoolExecutor(8) as peers:
            work = partial(bounce, server, coded)
            list(peers.map(work, ids.items()))
        until(lambda: unsettled(session) == 0, 300)
    finally:
        is_over.set()
        cutter.join()

    rows = session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall()
    assert rows == [("bounced", BURST)]
    for counted in (
        "SELECT count(*) FROM suppression_list WHERE reason = 'hard_bounce'",
        "SELECT count(*) FROM email_events WHERE type = 'bounced'",
        "SELECT sum(n) FROM email_stat_deltas WHERE kind = 'bounced'",
    ):
        assert session.execute(counted).fetchone() == (BURST,)


def bounce(server, coded, mail):
    email_id, to = mail
    address = coded.address(AddressUse.BOUNCE, email_id)
    codes = []
    while 250 not in codes:
        assert len(codes) < 100
        codes.append(mail_to(server, address, report(to)))


def unsettled(session):
    statement = "SELECT count(*) FROM inbound_messages WHERE status = 'received'"
    return session.execute(statement).fetchone()[0]


def cut_until(is_over, database_url, session):
    """End every connection to the test's database but the test's own, a few times a second."""
    with psycopg.connect(database_url, autocommit=True) as other:
        for _ in range(20):
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND pid <> %s",
                (session.info.dbname, session.info.backend_pid),
            )
            if is_over.wait(0.3):
                return
