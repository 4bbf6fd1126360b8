"""What may happen to a mail between its release and its turn, and what becomes of it then."""

import contextlib
import datetime as dt

import pytest

from app.clock import utc_now
from app.lifecycle import attempts, chunks, ledger, transitions
from app.lifecycle.states import State
from app.queueing.depth import DepthGauge
from tests.factories import make_campaign, make_email, make_step

LATE = dt.timedelta(minutes=1)


@pytest.fixture
def campaign_mail(session, make_sender):
    """Makes a mail of a running campaign, due now."""

    def make(**fields):
        sender = make_sender()
        account_id = sender.fields["account_id"]
        campaign_id = make_campaign(session, sender.app_id, account_id=account_id)
        step_id = make_step(session, campaign_id)
        given = sender.fields | fields | {"campaign_id": campaign_id, "step_id": step_id}
        return make_email(session, sender.app_id, **given), campaign_id

    return make


def state(session, email_id):
    query = "SELECT status, reason FROM emails WHERE id = %s"
    ((status, reason),) = session.execute(query, (email_id,)).fetchall()
    return status, reason


def test_a_deferred_mail_of_a_cancelled_campaign_is_not_sent(
    session, campaign_mail, run_pass, fleet, inbox, until
) -> None:
    email_id, campaign_id = campaign_mail()
    session.execute("UPDATE campaigns SET status = 'cancelled' WHERE id = %s", (campaign_id,))
    run_pass()
    fleet.start()
    until(lambda: state(session, email_id)[0] not in {"scheduled", "queued", "sending"})
    assert state(session, email_id) == ("cancelled", "campaign cancelled")
    assert inbox.messages() == []
    assert chunks.in_flight(session)[0] == 0


@pytest.mark.parametrize("column", ["window_closes_at", "expires_at"])
def test_a_mail_whose_time_ran_out_before_it_was_assembled_goes_back(
    session, campaign_mail, run_pass, fleet, inbox, until, column
) -> None:
    email_id, _ = campaign_mail(**{column: utc_now() + LATE})
    run_pass()
    session.execute(f"UPDATE emails SET {column} = now() - interval '1 s'")  # the workers were away
    fleet.start()
    until(lambda: state(session, email_id) == ("scheduled", "released too late"))
    assert inbox.messages() == []
    assert chunks.in_flight(session)[0] == 0


@pytest.mark.parametrize("column", ["window_closes_at", "expires_at"])
def test_a_mail_whose_time_ran_out_before_it_was_sent_is_not_claimed(
    session, campaign_mail, column
) -> None:
    email_id, _ = campaign_mail(**{column: utc_now() - LATE})
    transitions.release(session, [email_id])
    assert attempts.claim(session, [email_id], "worker/1") == []
    assert state(session, email_id)[0] == "queued"


def test_a_mail_that_was_stopped_after_its_release_leaves_the_space_in_flight(
    session, campaign_mail, run_pass, fleet, until
) -> None:
    email_id, _ = campaign_mail()
    run_pass()
    assert chunks.in_flight(session)[0] == 1
    transitions.stop(session, [(email_id, "unsubscribe")], State.SUPPRESSED)
    fleet.start()
    until(lambda: chunks.in_flight(session)[0] == 0)


@pytest.mark.parametrize("table", ["template_versions", "email_accounts"])
def test_mails_whose_content_was_deleted_fail_once_with_that_reason(
    session, make_sender, run_pass, fleet, inbox, until, table
) -> None:
    sender = make_sender()
    mails = [make_email(session, sender.app_id, **sender.fields) for _ in range(3)]
    run_pass()
    session.execute(f"DELETE FROM {table}")
    fleet.start()
    until(lambda: {state(session, mail)[0] for mail in mails} == {"failed"})
    assert "is gone" in state(session, mails[0])[1]
    until(lambda: letters(session) == [("NotFound", "assemble.normal")])
    session.execute("UPDATE released_chunks SET touched_at = '-infinity'")
    fleet.kill()
    swept(session)
    assert chunks.in_flight(session)[0] == 0
    assert session.execute("SELECT count(*) FROM released_chunks").fetchone() == (0,)
    assert letters(session) == [("NotFound", "assemble.normal")]
    assert inbox.messages() == []
    books = ledger.of_app(session, sender.app_id)
    assert (books.failed, books.waiting) == (3, 0)


def test_mails_whose_account_was_deleted_after_assembly_fail_once(
    session, make_sender, configured, until, run_pass, fleet
) -> None:
    sender = make_sender()
    mail = make_email(session, sender.app_id, **sender.fields)
    run_pass()
    fleet.start_stages("assemble.normal")
    until(lambda: depth(configured, "send.normal") == 1)
    fleet.kill()
    session.execute("DELETE FROM email_accounts")
    fleet.start()
    until(lambda: state(session, mail)[0] == "failed")
    until(lambda: letters(session) == [("NotFound", "send.normal")])


def letters(session):
    return session.execute("SELECT error_class, queue FROM dead_letters").fetchall()


def depth(configured, queue) -> int:
    with contextlib.closing(DepthGauge(configured.rabbitmq_url)) as gauge:
        return gauge.ready(queue)


def swept(session) -> None:
    from actors import housekeep  # noqa: PLC0415 - the broker reads the test's settings

    housekeep.sweep_chunks(session, dt.timedelta(seconds=15))
