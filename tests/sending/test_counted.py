"""The counts a limiter is rebuilt from: what was tried, and what is being tried."""

import datetime as dt

import pytest

from app.analytics.rollups import fold
from app.clock import utc_now
from app.ids import new_id
from app.lifecycle import chunks
from app.lifecycle.chunks import Chunk
from app.lifecycle.events import Delta, count
from app.sending.counted import others_under_way, recent_attempts, usage
from tests.factories import make_account, make_app, make_email


@pytest.fixture
def sender(session):
    app_id = make_app(session).id
    return app_id, make_account(session, app_id).id


def tried(session, sender, kind, n):
    app_id, account_id = sender
    where = {"queue_id": None, "campaign_id": None, "step_id": None}
    delta = Delta(app_id=app_id, account_id=account_id, kind=kind, n=n, **where)
    count(session, [delta])


def released(session, sender, *statuses):
    app_id, account_id = sender
    emails = [make_email(session, app_id, account_id=account_id, status=s) for s in statuses]
    chunk = Chunk(
        id=new_id(),
        app_id=app_id,
        account_id=account_id,
        lane="normal",
        payload={"email_ids": [str(email_id) for email_id in emails]},
        size=len(emails),
    )
    chunks.open_chunks(session, [chunk])
    return chunk


def test_attempts_count_whatever_became_of_them(session, sender):
    for kind in ("sent", "failed", "deferred", "unknown", "untried", "cancelled"):
        tried(session, sender, kind, 2)
    assert sum(recent_attempts(session, *sender).values()) == 8


def test_simulated_attempts_count_for_no_limit(session, sender):
    for kind, n in (("sent", 5), ("simulated", 3)):
        tried(session, sender, kind, n)
    found = usage(session, sender[0])
    assert (sum(recent_attempts(session, *sender).values()), found.today) == (2, 2)


def test_folding_changes_no_count(session, sender):
    tried(session, sender, "sent", 5)
    before = recent_attempts(session, *sender), usage(session, sender[0])
    fold(session)
    assert (recent_attempts(session, *sender), usage(session, sender[0])) == before


def test_claimed_mails_count_and_queued_ones_do_not(session, sender):
    released(session, sender, "sending", "sending", "queued", "sent")
    assert sum(recent_attempts(session, *sender).values()) == 2
    assert usage(session, sender[0]).today == 2


def test_usage_names_its_day_and_month(session, sender):
    now = utc_now()
    found = usage(session, sender[0])
    assert found.day == (now.date() - dt.date(1970, 1, 1)).days
    assert found.month == (now.year - 1970) * 12 + now.month - 1
    assert (found.today, found.this_month) == (0, 0)


def test_the_month_counts_more_than_the_day(session, sender):
    tried(session, sender, "sent", 3)
    session.execute(
        "UPDATE email_stat_deltas SET at = date_trunc('month', now() AT TIME ZONE 'UTC')"
    )
    tried(session, sender, "sent", 4)
    fold(session)
    found = usage(session, sender[0])
    assert found.this_month == 7
    assert found.today == (7 if utc_now().day == 1 else 4)


def test_a_chunk_is_alone_unless_another_of_its_app_is_under_way(session, sender):
    chunk = released(session, sender, "queued")
    assert not others_under_way(session, sender[0], chunk.id)
    other = released(session, sender, "queued")
    assert others_under_way(session, sender[0], chunk.id)
    chunks.settle(session, other.id, 1)
    assert not others_under_way(session, sender[0], chunk.id)
