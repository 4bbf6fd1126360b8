"""A held sender's mail waits and goes after the release; what servers refuse counts against it."""

from actors import judge
from app.analytics import conduct, standing
from app.campaigns import campaigns, stages
from app.campaigns.definition import read
from app.campaigns.staging import Phase
from app.clock import utc_now
from app.lifecycle import chunks, ledger
from app.queueing.payloads import TickPayload
from tests.factories import AUTHOR, count_mails, make_email, make_lead

LONG_S = 90.0


def complained(session, sender, n):
    """Count a thousand mails of a sender of which so many were complained about; let it be judged."""
    account_id = sender.fields["account_id"]
    count_mails(session, sender.app_id, account_id, sent=1_000, complained=n)
    judge.judge_senders(TickPayload(reason="test"))


def rows(session):
    query = "SELECT status, reason, attempt FROM emails ORDER BY id"
    return session.execute(query).fetchall()


def test_mail_of_a_held_sender_waits_with_the_reason_and_goes_after_the_release(
    session, make_sender, run_pass, fleet, inbox, until
) -> None:
    sender = make_sender()
    released = make_email(session, sender.app_id, **sender.fields)
    run_pass()
    scheduled = make_email(session, sender.app_id, **sender.fields)
    complained(session, sender, 4)
    fleet.start()
    until(lambda: rows(session)[0][0] == "scheduled", LONG_S)
    _, reason, attempt = rows(session)[0]
    assert attempt == 0
    assert reason.startswith("the app is held: 0.40% complained (4 of 1,000 mails in 24 h)")
    run_pass()
    assert {row[0] for row in rows(session)} == {"scheduled"}
    assert (inbox.messages(), chunks.in_flight(session)[0]) == ([], 0)

    for sender_id in (sender.app_id, sender.fields["account_id"]):
        standing.release(session, sender.app_id, sender_id, AUTHOR, utc_now())

    def are_sent():
        # A worker believes what it has read of the sender for two seconds, and holds back again.
        session.execute("UPDATE emails SET due_at = now() WHERE status = 'scheduled'")
        run_pass()
        return {row[0] for row in rows(session)} == {"sent"}

    until(are_sent, LONG_S)
    assert {released, scheduled} == {row[0] for row in session.execute("SELECT id FROM emails")}
    assert ledger.of_app(session, sender.app_id).waiting == 0


def test_refusals_count_against_the_sender_and_policies_slow_the_domain(
    session, make_sender, run_pass, fleet, until
) -> None:
    sender = make_sender()
    for to in ("bounce+1@a", "bounce+2@a", "data+554@b", "bounce+571@d", "ana@c"):
        make_email(session, sender.app_id, to_email=f"{to}.example", **sender.fields)
    fleet.start()
    run_pass()
    until(lambda: {row[0] for row in rows(session)} == {"sent", "failed"}, LONG_S)
    until(lambda: session.execute("SELECT FROM domain_pacing").fetchall(), LONG_S)
    found = conduct.of_app(session, sender.app_id, utc_now())[sender.fields["account_id"]]
    assert found[conduct.DAY] == conduct.Conduct(sent=5, bounced=2, blocked=1)
    slowed = session.execute("SELECT domain FROM domain_pacing ORDER BY 1").fetchall()
    assert slowed == [("b.example",), ("d.example",)]
    assert session.execute("SELECT count(*) FROM suppression_list").fetchone() == (2,)


def test_a_simulated_bounce_is_held_against_nobody(
    session, make_sender, run_pass, fleet, until
) -> None:
    sender = make_sender(port=1)
    session.execute("UPDATE apps SET is_sandbox = true WHERE id = %s", (sender.app_id,))
    for wish in ("bounce", "complaint", "complain", "refuse", "ana"):
        to = f"{wish}@simulator.example"
        make_email(session, sender.app_id, to_email=to, **sender.fields)
    fleet.start()
    run_pass()
    busy = {"scheduled", "queued", "sending"}
    until(lambda: not busy & {row[0] for row in rows(session)}, LONG_S)
    found = conduct.of_app(session, sender.app_id, utc_now())[sender.app_id]
    assert found[conduct.DAY] == conduct.Conduct()


def test_the_clock_brakes_a_campaign_whose_first_mails_bounce(
    session, make_sender, run_pass, fleet, inbox, until
) -> None:
    sender = make_sender()
    session.execute("UPDATE email_accounts SET address = 'anna@example.org'")
    for n in range(40):
        make_lead(session, sender.app_id, f"bounce+{n}@a.example")
    version = sender.fields["template_version_id"]
    session.execute(
        "UPDATE templates SET name = 'hello' WHERE id = "
        "(SELECT template_id FROM template_versions WHERE id = %s)",
        (version,),
    )
    text = "name: Spring\naccounts: [anna@example.org]\nsteps: [{template: hello}]\n"
    staged = "staged_release: {percent: 10, least: 1, wait_minutes: 60}"
    made = campaigns.create(session, sender.app_id, read(text + staged), AUTHOR)
    campaigns.start(session, sender.app_id, "Spring", AUTHOR, utc_now())
    fleet.start()

    def phase():
        run_pass()
        judge.watch_stages(TickPayload(reason="test"))
        return stages.find(session, made.id).phase

    until(lambda: phase() is Phase.BRAKED, LONG_S)
    assert campaigns.get(session, sender.app_id, "Spring").status == "paused"
    books = ledger.of_campaign(session, made.id)
    assert (books.failed, books.waiting, books.off_by) == (4, 36, 0)
    assert inbox.messages() == []
