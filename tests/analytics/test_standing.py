"""Senders are judged from rollups, obeyed by the queries that ask for limits, freed by a person."""

import datetime as dt
from uuid import UUID

import pytest

from app.analytics import conduct, rollups, standing
from app.audit import AuditFilter, list_page
from app.clock import utc_now
from app.errors import Conflict, NotFound
from app.policy.reputation import Conduct, Level, Thresholds
from app.scheduling import due
from app.sending import route
from app.sending.route import Surroundings
from tests.factories import (
    AUTHOR,
    BOX,
    count_mails,
    default_queue,
    insert,
    make_account,
    make_app,
    make_email,
)

LIMITS = Thresholds()
HOUR = dt.timedelta(hours=1)
AROUND = Surroundings(secretbox=BOX, helo="test", allowed_networks=())


@pytest.fixture
def app_id(session) -> UUID:
    return make_app(session).id


@pytest.fixture
def account_id(session, app_id) -> UUID:
    return make_account(session, app_id, address="anna@example.org").id


def counted(session, app_id, account_id, *, age=HOUR, **kinds: int) -> None:
    """Count mails of an account as of `age` ago, folded into minutes."""
    count_mails(session, app_id, account_id, **kinds)
    session.execute("UPDATE email_stat_deltas SET at = now() - %s", (age,))
    rollups.fold(session)


def judge(session, app_id, now=None):
    return standing.judge_app(session, app_id, LIMITS, now or utc_now())


def audited(session, app_id, action):
    return list_page(session, app_id, AuditFilter(action=action), after=None, limit=10)


def levels(session, app_id):
    found = standing.senders(session, app_id)
    return {sender.address or "app": (str(sender.level), sender.rule) for sender in found}


def test_conduct_is_counted_for_each_account_and_for_the_app(session, app_id, account_id):
    other = make_account(session, app_id).id
    counted(session, app_id, account_id, sent=900, bounced=10, complained=1, refused=5, blocked=2)
    counted(session, app_id, other, age=48 * HOUR, sent=100, bounced=1)
    found = conduct.of_app(session, app_id, utc_now())
    mine = Conduct(sent=905, bounced=15, complained=1, blocked=2)
    assert found[account_id] == {conduct.DAY: mine, conduct.WEEK: mine}
    assert found[app_id] == {
        conduct.DAY: mine,
        conduct.WEEK: Conduct(sent=1_005, bounced=16, complained=1, blocked=2),
    }
    assert found[other][conduct.DAY] == Conduct()


def test_mail_rejected_on_the_line_was_answered_and_can_slow_a_sender(session, app_id, account_id):
    counted(session, app_id, account_id, rejected=200, blocked=150)
    found = conduct.of_app(session, app_id, utc_now())
    assert found[account_id][conduct.DAY] == Conduct(sent=200, blocked=150)
    judge(session, app_id)
    assert levels(session, app_id)["app"] == ("slowed", "blocks.slow-25")


def test_simulated_mail_never_counts(session, app_id, account_id):
    counted(
        session,
        app_id,
        account_id,
        sent=500,
        bounced=100,
        complained=50,
        simulated_sent=400,
        simulated_bounced=99,
        simulated_complained=50,
    )
    assert conduct.of_app(session, app_id, utc_now())[account_id][conduct.DAY] == Conduct(
        sent=100, bounced=1
    )


def test_only_apps_with_something_against_them_are_judged(session, app_id, account_id):
    quiet, sandbox = make_app(session).id, make_app(session).id
    session.execute("UPDATE apps SET is_sandbox = true WHERE id = %s", (sandbox,))
    counted(session, quiet, make_account(session, quiet).id, sent=1_000)
    counted(session, sandbox, make_account(session, sandbox).id, complained=100)
    counted(session, app_id, account_id, complained=1)
    assert conduct.to_judge(session, utc_now()) == [app_id]


def test_who_is_slowed_is_judged_again_without_news(session, app_id, account_id):
    counted(session, app_id, account_id, sent=1_000, bounced=50)
    judge(session, app_id)
    assert conduct.to_judge(session, utc_now() + 30 * HOUR) == [app_id]


def test_who_is_slowed_and_falls_silent_is_free_when_its_mails_are_forgotten(
    session, app_id, account_id
):
    counted(session, app_id, account_id, sent=1_000, bounced=50)
    judge(session, app_id)
    later = utc_now() + dt.timedelta(days=8)
    assert {change.sender_id for change in judge(session, app_id, later)} == {app_id, account_id}
    assert levels(session, app_id) == {"app": ("good", None), "anna@example.org": ("good", None)}
    assert conduct.to_judge(session, later) == []


def test_who_is_held_and_falls_silent_stays_held(session, app_id, account_id):
    counted(session, app_id, account_id, sent=1_000, complained=4)
    judge(session, app_id)
    assert judge(session, app_id, utc_now() + dt.timedelta(days=8)) == []
    assert levels(session, app_id)["anna@example.org"] == ("held", "complaints.hold")


def test_a_hold_is_audited_once_with_its_figures(session, app_id, account_id):
    counted(session, app_id, account_id, sent=1_000, complained=4)
    changes = judge(session, app_id)
    assert {change.sender_id for change in changes} == {account_id, app_id}
    assert judge(session, app_id) == []
    (entry,) = audited(session, app_id, "email_account.held")
    assert (entry.actor, entry.target_id) == ("clock", str(account_id))
    assert entry.after["reason"].startswith("0.40% complained (4 of 1,000 mails in 24 h)")


def test_a_held_account_is_left_out_of_release_and_its_route_says_why(session, app_id, account_id):
    other = make_account(session, app_id).id
    for each in (account_id, other):
        make_email(session, app_id, account_id=each)
    # The other's mail keeps the app as a whole below the limit.
    counted(session, app_id, account_id, sent=1_000, complained=4)
    counted(session, app_id, other, sent=9_000)
    judge(session, app_id)
    assert levels(session, app_id) == {
        "app": ("good", None),
        "anna@example.org": ("held", "complaints.hold"),
    } | {
        sender.address: ("good", None)
        for sender in standing.senders(session, app_id)
        if sender.sender_id == other
    }
    assert [one.account_id for one in due.accounts(session)] == [other]
    assert [one.account_id for one in due.accounts_among(session, [account_id, other])] == [other]
    queue_id = default_queue(session, app_id).id
    held = route.load(session, account_id, queue_id, AROUND)
    assert held.held_for is not None
    assert held.held_for.startswith("the account is held: 0.40% complained")
    assert route.load(session, other, queue_id, AROUND).held_for is None


def test_a_held_app_holds_all_its_accounts(session, app_id, account_id):
    other = make_account(session, app_id).id
    make_email(session, app_id, account_id=other)
    counted(session, app_id, account_id, sent=1_000, complained=4)
    judge(session, app_id)
    assert due.accounts(session) == []
    held_for = route.load(session, other, default_queue(session, app_id).id, AROUND).held_for
    assert held_for is not None
    assert held_for.startswith("the app is held")


def test_a_slowed_account_keeps_the_stricter_of_its_limits(session, app_id, account_id):
    make_email(session, app_id, account_id=account_id)
    counted(session, app_id, account_id, sent=4_000)
    counted(session, app_id, account_id, age=3 * HOUR, sent=2_000, bounced=360)
    judge(session, app_id)
    assert levels(session, app_id)["anna@example.org"] == ("slowed", "bounces.slow-50")
    (found,) = due.accounts(session)
    assert (found.hourly_limit, found.app_limits.per_minute) == (2_000, 34)
    loaded = route.load(session, account_id, default_queue(session, app_id).id, AROUND)
    assert (loaded.hourly_limit, loaded.app_limits.per_minute) == (2_000, 34)
    session.execute("UPDATE email_accounts SET hourly_limit = 300")
    (found,) = due.accounts(session)
    assert found.hourly_limit == 300


def test_a_release_frees_the_mail_and_forgets_what_was_counted(session, app_id, account_id):
    email_id = make_email(session, app_id, account_id=account_id)
    session.execute(
        "UPDATE emails SET due_at = now() + interval '40 min', reason = 'limit account_hour'"
    )
    counted(session, app_id, account_id, sent=1_000, complained=4)
    judge(session, app_id)
    now = utc_now()
    standing.release(session, app_id, app_id, AUTHOR, now)
    freed = standing.release(session, app_id, account_id, AUTHOR, now)
    assert (freed.level, freed.released_at) == (Level.GOOD, now)
    assert [one.account_id for one in due.accounts(session)] == [account_id]
    row = session.execute("SELECT due_at <= now() FROM emails WHERE id = %s", (email_id,))
    assert row.fetchone() == (True,)
    assert judge(session, app_id, now + HOUR) == []
    (entry,) = audited(session, app_id, "email_account.released")
    assert (entry.actor, entry.before) == ("test", {"level": "held"})


def test_after_a_release_new_complaints_hold_again(session, app_id, account_id):
    counted(session, app_id, account_id, age=30 * HOUR, sent=1_000, complained=4)
    judge(session, app_id)
    standing.release(session, app_id, account_id, AUTHOR, utc_now() - 20 * HOUR)
    counted(session, app_id, account_id, sent=500, complained=3)
    assert [change.sender_id for change in judge(session, app_id)] == [account_id]


def test_what_is_not_held_cannot_be_released(session, app_id, account_id):
    with pytest.raises(NotFound):
        standing.release(session, app_id, account_id, AUTHOR, utc_now())
    counted(session, app_id, account_id, sent=1_000, complained=1)
    judge(session, app_id)
    with pytest.raises(Conflict):
        standing.release(session, app_id, account_id, AUTHOR, utc_now())
    with pytest.raises(NotFound):
        standing.release(session, make_app(session).id, account_id, AUTHOR, utc_now())


def test_webhooks_are_told_of_a_change(session, app_id, account_id):
    endpoint = {"id": account_id, "app_id": app_id, "url": "https://x.example", "secret_sealed": ""}
    insert(session, "webhook_endpoints", endpoint)
    counted(session, app_id, account_id, sent=1_000, complained=4)
    judge(session, app_id)
    rows = session.execute(
        "SELECT event, email_id, data->>'sender', data->>'level' FROM webhook_events ORDER BY 3"
    )
    assert rows.fetchall() == [
        ("reputation", None, "app", "held"),
        ("reputation", None, "email_account", "held"),
    ]
