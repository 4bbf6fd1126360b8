"""What a forecast says is what happens: the real planner and limiter, driven through the days."""

import contextlib
import datetime as dt
from collections import Counter, defaultdict

import pytest

from app.campaigns import campaigns, outlook, sequence, windows
from app.config import settings
from app.lifecycle import transitions
from app.policy import pacing, throttle
from app.policy.limits import AccountLimits, Reservation
from app.policy.rate_limits import RateLimiter
from app.scheduling.shares import millis
from tests.factories import AUTHOR, make_email

HOUR = dt.timedelta(hours=1)
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", None)


def limit(house, **limits):
    """Give both accounts of the house these limits."""
    for name, value in limits.items():
        house.session.execute(f"UPDATE email_accounts SET {name} = %s", (value,))


def start(house, leads, steps, more=""):
    for number in range(leads):
        house.leads(1, timezone=ZONES[number % len(ZONES)])
    return house.start(steps=steps, more=more)


class Reality:
    """Time goes from event to event; planner, windows and limiter are the real ones."""

    def __init__(self, house, campaign_id, limiter):
        self.house, self.campaign_id, self.limiter = house, campaign_id, limiter
        self.sent = []
        self.counted = defaultdict(Counter)

    def run(self):
        now = self.house.now
        for _ in range(5_000):
            sequence.plan_due(self.house.session, now, 1_000)
            self.send_due(now)
            later = self.next_event(now)
            if later is None:
                return self.sent
            now = later
        raise AssertionError(now)

    def next_event(self, now):
        ((enrolled, mail),) = self.house.rows(
            "SELECT (SELECT min(due_at) FROM enrolments WHERE campaign_id = %s), "
            "(SELECT min(due_at) FROM emails WHERE campaign_id = %s)",
            self.campaign_id,
            self.campaign_id,
        )
        times = [at for at in (enrolled, mail) if at is not None]
        return max(min(times), now + dt.timedelta(milliseconds=1)) if times else None

    def send_due(self, now):
        rows = self.house.rows(
            "SELECT e.id, e.account_id, e.window_closes_at, s.position FROM emails e "
            "JOIN campaign_sequence_steps s ON s.id = e.step_id "
            "WHERE e.campaign_id = %s AND e.due_at <= %s ORDER BY e.due_at, e.id",
            self.campaign_id,
            now,
        )
        late = [row[0] for row in rows if row[2] is not None and row[2] <= now]
        transitions.reschedule(self.house.session, windows.reopen(self.house.session, late, now))
        for email_id, account_id, _, position in rows:
            if email_id not in late:
                self.send(email_id, account_id, position, now)

    def send(self, email_id, account_id, position, now):
        ((hourly, daily, gap),) = self.house.rows(
            "SELECT hourly_limit, daily_limit, min_gap_ms FROM email_accounts WHERE id = %s",
            account_id,
        )
        request = Reservation(
            app_id=self.house.app_id,
            queue_id=self.campaign_id,
            account_id=account_id,
            limits=AccountLimits(hourly_limit=hourly, daily_limit=daily, min_gap_ms=gap),
            domains={"example.com": 1},
        )
        grant = self.limiter.reserve(request, now_ms=millis(now))
        if grant.is_cold:
            counts = self.counted[account_id]
            self.limiter.seed(account_id, counts, epoch=grant.epoch, now_ms=millis(now))
            grant = self.limiter.reserve(request, now_ms=millis(now))
        if not grant.granted:
            self.house.session.execute(
                "UPDATE emails SET due_at = %s WHERE id = %s", (grant.next_slot_at, email_id)
            )
            return
        if gap:
            self.limiter.sent(account_id, gap, now_ms=millis(now))
        self.house.session.execute(
            "UPDATE emails SET status = 'sent', due_at = NULL, sent_at = %s WHERE id = %s",
            (now, email_id),
        )
        self.counted[account_id][now.replace(second=0, microsecond=0)] += 1
        self.sent.append((position, millis(now)))


CASES = {
    "hourly": ({"hourly_limit": 3}, "[{template: one}]", ""),
    "gap": ({"min_gap_ms": 90_000}, "[{template: one}]", ""),
    "hour and gap": ({"hourly_limit": 3, "min_gap_ms": 200_000}, "[{template: one}]", ""),
    "daily": ({"daily_limit": 4}, "[{template: one}]", ""),
    "window": (
        {"hourly_limit": 2, "min_gap_ms": 60_000},
        "[{template: one}]",
        "window: {start: '9:00', end: '10:30'}",
    ),
    "sequence": (
        {"hourly_limit": 4},
        "[{template: one}, {template: two, wait_duration_hours: 26}, {template: three}]",
        "window: {start: '9:00', end: '17:00'}",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_forecast_is_what_happens_to_the_minute(house, redis_url, case):
    limits, steps, more = CASES[case]
    limit(house, **limits)
    started = start(house, 14, steps, more)
    forecast = outlook.places(house.session, started.id, house.now)
    with contextlib.closing(RateLimiter(redis_url)) as limiter:
        happened = Reality(house, started.id, limiter).run()
    assert len(forecast) == len(happened) == 14 * steps.count("template")
    for position in {position for position, _ in happened}:
        foreseen = sorted(mail.at_ms for mail in forecast if mail.position == position - 1)
        real = sorted(at_ms for step, at_ms in happened if step == position)
        drifts = [abs(a - b) for a, b in zip(foreseen, real, strict=True)]
        assert max(drifts) <= 60_000, (position, drifts)


def test_the_same_question_has_the_same_answer(house):
    limit(house, hourly_limit=2)
    started = start(house, 10, "[{template: one}]")
    asked = [outlook.outlook(house.session, started.id, house.now) for _ in range(3)]
    assert asked[0] == asked[1] == asked[2]


def test_a_forecast_holds_while_the_campaign_runs_as_foreseen(house):
    limit(house, hourly_limit=2)
    started = start(house, 10, "[{template: one}]")
    before = outlook.outlook(house.session, started.id, house.now)
    sequence.plan_due(house.session, house.now, 100)
    planned = outlook.outlook(house.session, started.id, house.now + HOUR / 60)
    assert (planned.mails, planned.steps[0].mails) == (10, 10)
    assert abs(planned.ends_at - before.ends_at) <= dt.timedelta(minutes=1)


def test_the_first_forecast_is_kept_with_the_campaign(house):
    limit(house, hourly_limit=2)
    started = start(house, 10, "[{template: one}]")
    first = outlook.at_start(house.session, started.id)
    limit(house, hourly_limit=1)
    latest = outlook.refresh(house.session, started.id, house.now)
    assert first["mails"] == latest.mails == 10
    assert dt.datetime.fromisoformat(first["ends_at"]) < latest.ends_at
    assert outlook.at_start(house.session, started.id) == first
    assert house.value("SELECT forecast FROM campaigns") == latest.document()


def test_the_clock_keeps_the_forecasts_of_running_campaigns_fresh(house):
    limit(house, hourly_limit=2)
    started = start(house, 10, "[{template: one}]")
    assert not outlook.refresh_oldest(house.session, house.now)
    later = house.now + outlook.FRESH + HOUR / 60
    assert outlook.refresh_oldest(house.session, later)
    assert not outlook.refresh_oldest(house.session, later)
    stored = house.value("SELECT forecast->>'computed_at' FROM campaigns")
    assert dt.datetime.fromisoformat(stored) == later
    house.do(campaigns.pause)
    assert not outlook.refresh_oldest(house.session, later + HOUR)
    assert outlook.at_start(house.session, started.id)["computed_at"] < stored


def test_a_draft_is_forecast_as_if_it_were_started(house):
    limit(house, hourly_limit=2)
    house.leads(10)
    draft = house.create()
    foreseen = outlook.outlook(house.session, draft.id, house.now)
    house.do(campaigns.start)
    started = outlook.outlook(house.session, draft.id, house.now)
    assert (foreseen.ends_at, foreseen.by_hour) == (started.ends_at, started.by_hour)


def test_it_says_which_limit_binds_when(house):
    limit(house, hourly_limit=2, daily_limit=6)
    started = start(house, 40, "[{template: one}]")
    found = outlook.outlook(house.session, started.id, house.now)
    assert {stretch.limit for stretch in found.stretches} == {"account_hour", "account_day"}
    assert sum(mails for _, mails in found.by_hour) == 40


def test_the_warm_up_grows_in_the_forecast(house):
    limit(house, warmup_started_on=house.now.date(), warmup_daily_start=2, warmup_growth=2)
    started = start(house, 28, "[{template: one}]")
    placed = outlook.places(house.session, started.id, house.now)
    days = Counter(mail.at_ms // 86_400_000 for mail in placed)
    assert [days[day] for day in sorted(days)] == [4, 8, 16]


@pytest.mark.parametrize(
    ("limits", "bound", "minutes"),
    [
        ({"per_minute": 2}, "app", [2, 2, 2, 2]),
        ({"daily_quota": 5}, "app_day", [5, 3]),
        ({"monthly_quota": 6}, "app_month", [6, 2]),
    ],
)
def test_what_the_app_may_do_is_shared_by_its_accounts(house, limits, bound, minutes):
    for name, value in limits.items():
        house.session.execute(f"UPDATE apps SET {name} = %s", (value,))
    started = start(house, 8, "[{template: one}]")
    found = outlook.outlook(house.session, started.id, house.now)
    assert {stretch.limit for stretch in found.stretches} == {bound}
    placed = outlook.places(house.session, started.id, house.now)
    counted = Counter(mail.at_ms // 60_000 for mail in placed)
    assert [counted[minute] for minute in sorted(counted)] == minutes


def test_the_limit_over_all_apps_is_named_where_it_binds(house, monkeypatch):
    monkeypatch.setenv("MAILQUEUE_GLOBAL_PER_MINUTE", "3")
    settings.cache_clear()
    started = start(house, 8, "[{template: one}]")
    found = outlook.outlook(house.session, started.id, house.now)
    assert {stretch.limit for stretch in found.stretches} == {"global"}
    placed = outlook.places(house.session, started.id, house.now)
    assert sorted(Counter(mail.at_ms // 60_000 for mail in placed).values()) == [2, 3, 3]
    settings.cache_clear()


def test_a_slowed_domain_is_late_and_its_neighbours_are_not(house):
    wanted = pacing.Override(per_minute=4)
    pacing.override(house.session, house.app_id, "slow.org", wanted, AUTHOR)
    for number in range(20):
        house.leads(1, email=f"p{number}@{'slow' if number % 2 else 'fast'}.org")
    started = house.start()
    placed = outlook.places(house.session, started.id, house.now)
    waits = Counter((mail.at_ms - millis(house.now) + 59_999) // 60_000 for mail in placed)
    assert [waits[minute] for minute in range(4)] == [14, 4, 2, 0]
    found = outlook.outlook(house.session, started.id, house.now)
    assert [(stretch.limit, stretch.mails) for stretch in found.stretches] == [("domain", 6)]


def test_a_domain_that_was_slowed_is_forecast_to_recover(house):
    pacing.slow(house.session, house.app_id, {"slow.org": "421 slow down"}, house.now)
    for number in range(400):
        house.leads(1, email=f"p{number}@slow.org")
    started = house.start()
    found = outlook.outlook(house.session, started.id, house.now)
    assert found.mails == 400
    minutes = (found.ends_at - house.now).total_seconds() / 60
    assert 4 <= minutes < 400 / throttle.FIRST_PER_MINUTE


def test_a_big_forecast_places_every_mail_under_its_limits(house):
    limit(house, hourly_limit=700, min_gap_ms=1_000)
    house.session.execute(
        "INSERT INTO leads (id, app_id, email, email_hash, timezone) SELECT gen_random_uuid(), %s,"
        " n || '@example.com', sha256(n::text::bytea), (%s::text[])[n %% 4 + 1]"
        " FROM generate_series(1, 9000) n",
        (house.app_id, list(ZONES)),
    )
    draft = house.create(
        steps="[{template: one}, {template: two, wait_duration_hours: 5}]",
        more="window: {start: '9:00', end: '17:00'}",
    )
    found = outlook.outlook(house.session, draft.id, house.now)
    assert [step.mails for step in found.steps] == [9_000, 9_000]
    assert found.mails == sum(mails for _, mails in found.by_hour) == 18_000
    assert max(mails for _, mails in found.by_hour) <= 2 * 700
    assert outlook.outlook(house.session, draft.id, house.now) == found


def test_mail_of_others_on_the_same_account_comes_first_by_its_priority(house):
    limit(house, hourly_limit=2)
    started = start(house, 4, "[{template: one}]")
    alone = outlook.outlook(house.session, started.id, house.now)
    for account in house.accounts:
        for _ in range(6):
            make_email(house.session, house.app_id, account_id=account.id, priority=9)
    crowded = outlook.outlook(house.session, started.id, house.now)
    assert crowded.mails == alone.mails == 4
    assert crowded.ends_at - alone.ends_at >= 2 * HOUR


def test_people_whose_mail_is_of_unknown_fate_are_held(house):
    started = start(house, 3, "[{template: one}, {template: two}]")
    sequence.plan_due(house.session, house.now, 100)
    house.settle("unknown")
    found = outlook.outlook(house.session, started.id, house.now)
    assert (found.mails, found.held, found.ends_at) == (0, 3, None)


def test_what_was_sent_is_no_longer_to_go(house):
    started = start(house, 3, "[{template: one}, {template: two, wait_duration_hours: 1}]")
    sequence.plan_due(house.session, house.now, 100)
    house.settle("sent", house.now)
    found = outlook.outlook(house.session, started.id, house.now)
    assert [(step.position, step.mails) for step in found.steps] == [(2, 3)]
    assert found.ends_at == house.now.replace(microsecond=0) + HOUR or (
        abs(found.ends_at - house.now - HOUR) < dt.timedelta(seconds=1)
    )
