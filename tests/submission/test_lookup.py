"""Look-ups read an index and no more of it than a page needs."""

import datetime as dt

import pytest

from app.clock import utc_now
from app.db.session import tenant_transaction
from app.ids import new_ids
from app.lifecycle.states import State
from app.submission import batch, lookup
from app.submission.lookup import Filter
from tests.factories import PEPPER, make_account, make_app, make_email

_EXPLAIN = "EXPLAIN (FORMAT TEXT, COSTS OFF) "


def explained(session, statement, binds) -> str:
    return "\n".join(row[0] for row in session.execute(_EXPLAIN + statement, binds).fetchall())


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("app", "app_id_id"),
        ("batch", "batch_id_id"),
        ("campaign", "campaign_id_id"),
        ("recipient", "to_hash"),
    ],
)
def test_each_list_has_its_index(session, name, index) -> None:
    app_id = make_app(session).id
    binds = {
        "app": app_id,
        "status": "sent",
        "queue": None,
        "batch": app_id,
        "campaign": app_id,
        "tag": None,
        "to": b"x" * 16,
        "low": lookup._FIRST,
        "high": lookup._LAST,
        "limit": 51,
    }
    with tenant_transaction(session, app_id):
        session.execute("SET LOCAL enable_seqscan = off")
        session.execute("SET LOCAL enable_bitmapscan = off")
        plan = explained(session, lookup._PAGES[name], binds)
    emails = [line for line in plan.splitlines() if "Index" in line and "emails" in line]
    assert emails, plan
    assert all(index in line for line in emails), plan


def test_a_filter_that_finds_little_ends_its_page_early_and_goes_on(
    session, submit_batch, app_id
) -> None:
    submit_batch([f"u{n}@example.com" for n in range(30)])
    batch.expand_open(session, PEPPER, utc_now(), 60)
    oldest = session.execute("SELECT min(id::text)::uuid FROM emails").fetchone()[0]
    session.execute("UPDATE emails SET status = 'sent', due_at = NULL WHERE id = %s", (oldest,))
    wanted, after, pages, found = Filter(status=State.SENT, reach=10), None, 0, []
    while True:
        listing = lookup.list_mails(session, app_id, wanted, after, 5)
        found += listing.mails
        pages += 1
        if listing.next_after is None:
            break
        after = listing.next_after
    assert [mail.id for mail in found] == [oldest]
    assert pages == 3


def test_times_bound_a_list(session, app_id, submit) -> None:
    done = submit()
    hour = dt.timedelta(hours=1)

    def ids(**bounds) -> list[object]:
        listing = lookup.list_mails(session, app_id, Filter(**bounds), None, 10)
        return [mail.id for mail in listing.mails]

    assert ids(since=utc_now() - hour, until=utc_now() + hour) == [done.id]
    assert ids(since=utc_now() + hour) == []
    assert ids(until=utc_now() - hour) == []


def test_mails_of_one_millisecond_are_told_apart(session, app_id, submit) -> None:
    one = submit(to=["a@example.com", "b@example.com"])
    account = make_account(session, app_id).id
    near = one.id.hex[:12] + new_ids(1, utc_now())[0][12:]
    make_email(session, app_id, id=near, account_id=account)
    found = lookup.submission(session, app_id, one.id)
    assert {mail.to_email for mail in found} == {"a@example.com", "b@example.com"}
    second = one.copies[1].id
    assert [mail.id for mail in lookup.submission(session, app_id, second)] == [second]
