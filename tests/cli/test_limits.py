"""limits show and set, account pause and resume, on the command line."""

import contextlib

import pytest

from app.clock import utc_now
from app.config import settings
from app.policy import pacing
from app.policy.rate_limits import RateLimiter
from app.tenancy import apps
from tests.factories import make_account, make_email


@pytest.fixture
def sender(shop, session):
    """An account of the shop, anna@example.com."""
    app = apps.get_by_name(session, shop)
    return make_account(session, app.id, address="anna@example.com")


def meters(ran):
    assert ran.code == 0, ran.err
    return {(one["level"], one["name"], one["limit"]): one for one in ran.json}


def audited(session):
    rows = session.execute("SELECT action, before, after FROM audit_logs ORDER BY id").fetchall()
    return {row[0]: row[1:] for row in rows}


def test_every_level_is_shown_with_its_use(mailqueue, sender, configured):
    mailqueue("limits", "set", "account", sender.address, "--hourly-limit", "2")
    with contextlib.closing(RateLimiter(configured.redis_url)) as limiter:
        limiter.seed(sender.id, {utc_now().replace(second=0, microsecond=0): 2})
    found = meters(mailqueue("limits", "show", "--json"))
    hour = found["account", "anna@example.com", "account_hour"]
    assert (hour["allows"], hour["used"]) == (2, 2)
    assert hour["free_at"] > utc_now().isoformat()
    assert {level for level, _, _ in found} == {"global", "app", "queue", "account"}
    assert found["global", "all apps", "global"]["allows"] is None
    shown = mailqueue("limits", "show").out
    assert "anna@example.com" in shown
    assert "in any 60 minutes" in shown


@pytest.mark.usefixtures("sender")
def test_limits_of_the_app_change_only_as_said_and_are_audited(mailqueue, session):
    mailqueue("limits", "set", "app", "--daily-quota", "100", "--per-minute", "30")
    found = meters(mailqueue("limits", "set", "app", "--per-minute", "0", "--json"))
    assert found["app", "shop", "app"]["allows"] is None
    assert found["app", "shop", "app_day"]["allows"] == 100
    before, after = audited(session)["app.updated"]
    assert (before, after) == ({"per_minute": 30}, {"per_minute": None})


@pytest.mark.usefixtures("sender")
def test_a_queue_gets_a_pace(mailqueue, session):
    found = meters(mailqueue("limits", "set", "queue", "default", "--per-minute", "20", "--json"))
    assert found["queue", "default", "queue"]["allows"] == 20
    assert audited(session)["queue.updated"] == ({"per_minute": None}, {"per_minute": 20})
    assert mailqueue("limits", "set", "queue", "defualt", "--per-minute", "1").code == 1


def test_a_warm_up_begins_and_ends(mailqueue, session, sender):
    options = ("--warm-up-start", "50", "--warm-up-growth", "1.5", "--json")
    found = meters(mailqueue("limits", "set", "account", sender.address, *options))
    day = found["account", sender.address, "account_day"]
    assert (day["allows"], day["used"]) == (50, 0)
    assert "warm-up since" in day["note"]
    ended = mailqueue("limits", "set", "account", sender.address, "--warm-up-start", "0", "--json")
    assert meters(ended)["account", sender.address, "account_day"]["allows"] is None
    assert audited(session)["email_account.updated"][1]["warmup_daily_start"] is None


@pytest.mark.usefixtures("sender")
def test_the_pace_of_a_domain_is_overridden_and_given_back(mailqueue, session):
    options = ("--per-minute", "7", "--hours", "2", "--json")
    found = meters(mailqueue("limits", "set", "domain", "Slow.org", *options))
    assert found["domain", "slow.org", "domain"]["allows"] == 7
    assert found["domain", "slow.org", "domain"]["note"].startswith("overridden until")
    assert "domain_pacing.overridden" in audited(session)
    given_back = mailqueue("limits", "set", "domain", "slow.org", "--per-minute", "0", "--json")
    assert ("domain", "slow.org", "domain") not in meters(given_back)
    ((app_id,),) = session.execute("SELECT id FROM apps").fetchall()
    assert pacing.paces(session, app_id, utc_now()) == {}


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("set", "account", "anna@example.com"), None),
        (("set", "account", "anna@example.com", "--hourly-limit", "99999999999"), "hourly_limit"),
        (("set", "account", "anna@example.com", "--warm-up-growth", "many"), "warm_up_growth"),
        (
            ("set", "account", "anna@example.com", "--warm-up-start", "5", "--warm-up-growth", "x"),
            "warm_up_growth",
        ),
        (("set", "domain", "not a domain", "--per-minute", "5"), "domain"),
        (("set", "domain", "a.org", "--per-minute", "5", "--connections", "0"), "connections"),
        (("set", "app", "--per-minute", "99999999999"), "per_minute"),
    ],
)
@pytest.mark.usefixtures("sender")
def test_what_cannot_be_a_limit_is_refused_with_its_field(mailqueue, words, field):
    ran = mailqueue("limits", *words, "--json")
    assert ran.code == 1
    assert ran.problem.get("field") == field


def test_a_changed_limit_lets_what_it_kept_back_ask_again(mailqueue, session, sender):
    fields = {"account_id": sender.id, "reason": "limit account_hour"}
    kept = make_email(session, sender.app_id, **fields)
    deferred = make_email(session, sender.app_id, account_id=sender.id, reason="rcpt: 451 later")
    session.execute("UPDATE emails SET due_at = now() + interval '50 minutes'")
    mailqueue("limits", "set", "account", sender.address, "--hourly-limit", "9")
    due = session.execute("SELECT id FROM emails WHERE due_at <= now()").fetchall()
    assert due == [(kept,)]
    assert deferred != kept


def test_a_paused_account_is_resumed_and_both_are_audited(mailqueue, session, sender):
    for _ in range(2):
        (told,) = mailqueue("account", "pause", sender.address, "--json").json
        assert told["status"] == "paused"
    (told,) = mailqueue("account", "resume", sender.address, "--json").json
    assert told["status"] == "active"
    rows = session.execute("SELECT action, after FROM audit_logs ORDER BY id").fetchall()
    assert rows[-2:] == [
        ("email_account.paused", {"status": "paused"}),
        ("email_account.resumed", {"status": "active"}),
    ]


def test_use_is_counted_in_the_database_while_redis_is_away(
    mailqueue, session, sender, monkeypatch
):
    mailqueue("limits", "set", "account", sender.address, "--hourly-limit", "5")
    session.execute(
        "INSERT INTO email_stat_deltas (app_id, account_id, kind, n) VALUES (%s, %s, 'sent', 3)",
        (sender.app_id, sender.id),
    )
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    found = meters(mailqueue("limits", "show", "--json"))
    assert found["account", sender.address, "account_hour"]["used"] == 3
