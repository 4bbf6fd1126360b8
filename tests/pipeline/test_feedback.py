"""The loop closed: a mail leaves, its bounce comes back over SMTP, and nothing else is sent."""

import contextlib
import os
import smtplib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from app.audit import Author
from app.db.session import close_thread_session
from app.feedback import messages
from app.feedback.providers import hooks
from app.feedback.providers.event import Provider
from app.feedback.providers.hooks import NewHook
from app.mail import verp
from app.mail.verp import AddressUse
from app.queueing.publisher import BatchPublisher
from app.secretbox import SecretBox
from app.wsgi import create_app
from tests.factories import (
    insert,
    make_campaign,
    make_email,
    make_lead,
    make_step,
)
from tests.feedback.answers import report
from tests.feedback.events import postmark
from tests.pipeline.conftest import DOMAIN
from tests.pipeline.troubled import troubled

SECRET = "postmark's own password"
BURST = int(os.environ.get("MAILQUEUE_TEST_BOUNCES", "250"))


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


def test_a_burst_of_bounces_survives_a_troubled_postgresql(
    session, database_url, database, listening, server, fleet, make_sender, until
):
    coded = verp.coded_domain(DOMAIN, listening.tracking_keys.get_secret_value())
    mails = many(session, make_sender(), BURST)
    fleet.start_stages("inbound", "maintenance")
    until(lambda: fleet.is_ready, 60)  # it refuses to boot in trouble: a supervisor starts it again
    with troubled(session, database_url, database), ThreadPoolExecutor(8) as peers:
        list(peers.map(partial(bounce, server, coded), mails.items()))
    all_are_worked_off(session, listening.rabbitmq_url, until)

    each_bounced_once(session, len(mails))


def test_a_burst_of_a_providers_events_survives_a_troubled_postgresql(
    session, database_url, database, configured, fleet, make_sender, until
):
    sender = make_sender()
    mails = list(many(session, sender, BURST * 2 // 5).items())
    box = SecretBox.from_setting(configured.sealing_keys.get_secret_value())
    new = NewHook(app_id=sender.app_id, provider=Provider.POSTMARK, secret=SECRET)
    hook = hooks.create(session, box, new, Author(name="test"))
    web = create_app(configured)
    fleet.start_stages("inbound", "maintenance")
    until(lambda: fleet.is_ready, 60)  # it refuses to boot in trouble: a supervisor starts it again
    with troubled(session, database_url, database), ThreadPoolExecutor(8) as peers:
        list(peers.map(partial(tell, web, hook.token), [mails[n::8] for n in range(8)]))
    all_are_worked_off(session, configured.rabbitmq_url, until)

    each_bounced_once(session, len(mails))
    stored = "SELECT count(*) FROM inbound_messages WHERE status = 'processed'"
    assert session.execute(stored).fetchone() == (len(mails),)


def many(session, sender, count):
    """Return mails that were sent, with their recipients."""
    return {
        make_email(
            session, sender.app_id, to_email=f"r{n}@example.com", status="sent", **sender.fields
        ): f"r{n}@example.com"
        for n in range(count)
    }


def each_bounced_once(session, count):
    rows = session.execute("SELECT status, count(*) FROM emails GROUP BY 1").fetchall()
    assert rows == [("bounced", count)]
    for counted in (
        "SELECT count(*) FROM suppression_list WHERE reason = 'hard_bounce'",
        "SELECT count(*) FROM email_events WHERE type = 'bounced'",
        "SELECT sum(n) FROM email_stat_deltas WHERE kind = 'bounced'",
    ):
        assert session.execute(counted).fetchone() == (count,)


def tell(web, token, mails):
    """Tell each event until it is taken, and then once more, as providers do."""
    client = web.test_client()
    for email_id, to in mails:
        event = postmark("Bounce", email_id.hex, to, Type="HardBounce", ID=to)
        codes = []
        while codes.count(200) < 2:
            assert len(codes) < 300
            answer = client.post(
                f"/v1/provider-events/{token}", json=event, headers={"X-Mailqueue-Secret": SECRET}
            )
            codes.append(answer.status_code)
        assert set(codes) <= {200, 503}
    close_thread_session()


def bounce(server, coded, mail):
    email_id, to = mail
    address = coded.address(AddressUse.BOUNCE, email_id)
    codes = []
    while 250 not in codes:
        assert len(codes) < 300
        codes.append(mail_to(server, address, report(to)))


def all_are_worked_off(session, rabbitmq_url, until):
    """Wait; publish again what was committed without its job, as the sweeper does."""
    with contextlib.closing(BatchPublisher(rabbitmq_url)) as publisher:

        def are_all() -> bool:
            late = messages.overdue(session, after_s=5, most=20, limit=2_000)
            if late:
                messages.announce(publisher, late)
            return unsettled(session) == 0

        until(are_all, 600)


def unsettled(session):
    statement = "SELECT count(*) FROM inbound_messages WHERE status = 'received'"
    return session.execute(statement).fetchone()[0]
