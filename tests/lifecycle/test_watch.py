"""The ledger is checked all the time, at a bounded price."""

import datetime as dt
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from app.clock import utc_now
from app.ids import new_id
from app.lifecycle import ledger, watch
from app.lifecycle.events import Delta, count
from app.lifecycle.intake import PlannedMail, plan
from app.metrics import LEDGER_OFF
from tests.campaign_rows import campaign
from tests.factories import insert, make_email, make_lead


def planned(session, made, mails=3):
    """`mails` leads enrolled and planned, as the campaign room does."""
    for _ in range(mails):
        lead = make_lead(session, made.app_id)
        row = {
            "id": new_id(),
            "app_id": made.app_id,
            "campaign_id": made.campaign_id,
            "lead_id": lead,
            "account_id": made.account_id,
            "status": "finished",
            "steps_planned": 1,
        }
        insert(session, "enrolments", row)
        plan(session, [mail_of(made, lead)])


def mail_of(made, lead):
    return PlannedMail(
        id=new_id().hex,
        app_id=made.app_id,
        queue_id=made.queue_id,
        account_id=made.account_id,
        template_version_id=made.version_id,
        campaign_id=made.campaign_id,
        lead_id=lead,
        to_email="a@example.com",
        to_domain="example.com",
        to_hash=b"0" * 16,
        variables={},
        due_at=utc_now(),
    )


def test_books_that_balance_raise_no_alarm(session):
    planned(session, campaign(session))
    review = watch.check(session, utc_now())
    assert (review.balanced, review.off, review.untold) == (2, (), 0)


def test_one_mail_too_few_is_found_in_campaign_and_app(session):
    made = campaign(session)
    planned(session, made)
    session.execute("DELETE FROM emails WHERE id = (SELECT min(id::text)::uuid FROM emails)")
    review = watch.check(session, utc_now())
    assert {(found.kind, found.id, found.off_by) for found in review.off} == {
        ("campaign", made.campaign_id, 1),
        ("app", made.app_id, 1),
    }


def test_what_did_not_change_is_not_read(session):
    made = campaign(session)
    planned(session, made)
    session.execute("UPDATE email_stat_deltas SET at = now() - interval '1 hour'")
    assert watch.check(session, utc_now()).balanced == 0


def test_changes_that_were_folded_count_as_well(session):
    made = campaign(session)
    planned(session, made)
    session.execute("DELETE FROM email_stat_deltas")
    row = {"app_id": made.app_id, "campaign_id": made.campaign_id, "kind": "sent", "n": 1}
    insert(session, "email_stats", row | {"minute": utc_now()})
    assert watch.check(session, utc_now()).balanced == 2


def test_many_campaigns_have_their_turn(session):
    made = campaign(session)
    ids = [uuid4() for _ in range(50)]
    deltas = [
        Delta(
            app_id=made.app_id,
            queue_id=None,
            campaign_id=i,
            step_id=None,
            account_id=None,
            kind="sent",
        )
        for i in ids
    ]
    count(session, deltas)
    assert watch.check(session, utc_now()).balanced == 21
    now = utc_now()
    drawn = [watch._drawn(set(ids), 20, now + dt.timedelta(minutes=n)) for n in range(5)]
    assert set(ids) == {i for turn in drawn for i in turn}


def test_a_check_leaves_the_session_as_it_was(session):
    before = session.execute("SHOW statement_timeout").fetchone()
    watch.check(session, utc_now())
    assert session.execute("SHOW statement_timeout").fetchone() == before


@pytest.mark.parametrize(("accepted", "expanded", "off"), [(5, 2, 0), (2, 2, 0), (5, 3, 1)])
def test_a_batch_balances_while_it_is_expanded(session, accepted, expanded, off):
    made = campaign(session)
    batch = {"id": new_id(), "app_id": made.app_id, "accepted": accepted, "expanded": expanded}
    insert(session, "batches", batch)
    for status in ("sent", "failed"):
        make_email(session, made.app_id, batch_id=batch["id"], status=status)
    found = ledger.of_batch(session, batch["id"])
    assert (found.planned, found.sent, found.failed) == (accepted, 1, 1)
    assert found.waiting == accepted - expanded
    assert found.off_by == off
    assert len([one for one in watch.check(session, utc_now()).off if one.kind == "batch"]) == off


def test_the_clocks_check_sets_the_metric_and_calls_somebody(configured, session):
    from actors import books  # noqa: PLC0415 - the broker reads the test's settings
    from app.queueing.payloads import TickPayload  # noqa: PLC0415

    del configured
    planned(session, campaign(session))
    books.check_books(TickPayload(reason="test"))
    assert LEDGER_OFF._value.get() == 0
    session.execute("DELETE FROM emails")
    with capture_logs() as said:
        books.check_books(TickPayload(reason="test"))
    assert LEDGER_OFF._value.get() == 6
    assert {(line["event"], line["log_level"], line["off_by"]) for line in said} == {
        ("ledger.off", "error", 3)
    }
