import datetime as dt
import threading
from dataclasses import replace

import pytest

from app.analytics import reports, rollups
from app.analytics.reports import Counts
from app.db.session import connect
from app.lifecycle.events import Delta, count
from tests.campaign_rows import campaign
from tests.factories import make_account

NOON = dt.datetime(2026, 11, 20, 12, 0, tzinfo=dt.UTC)


@pytest.fixture
def made(session):
    return campaign(session, steps=2)


def counted(session, made, kind: str, n: int = 1, *, step: int = 0) -> None:
    count(
        session,
        [
            Delta(
                app_id=made.app_id,
                queue_id=made.queue_id,
                campaign_id=made.campaign_id,
                step_id=made.step_ids[step],
                account_id=made.account_id,
                kind=kind,
                n=n,
            )
        ],
    )


def buckets(session) -> list[tuple]:
    return session.execute("SELECT kind, minute, n FROM email_stats ORDER BY 1, 2").fetchall()


def waiting(session) -> int:
    return session.execute("SELECT count(*) FROM email_stat_deltas").fetchone()[0]


def test_folding_moves_deltas_into_the_minute_they_happened_in(session, made):
    for _ in range(3):
        counted(session, made, "sent", 2)
    session.execute("UPDATE email_stat_deltas SET at = %s", (NOON + dt.timedelta(seconds=59),))
    assert rollups.fold(session) == 3
    assert (buckets(session), waiting(session)) == ([("sent", NOON, 6)], 0)


def test_folding_again_adds_to_the_same_bucket(session, made):
    for _ in range(2):
        counted(session, made, "sent")
        session.execute("UPDATE email_stat_deltas SET at = %s", (NOON,))
        rollups.fold(session)
    assert buckets(session) == [("sent", NOON, 2)]


def test_counts_without_a_campaign_are_one_bucket_too(session, made):
    for _ in range(2):
        none = {"queue_id": None, "campaign_id": None, "step_id": None, "account_id": None}
        count(session, [Delta(app_id=made.app_id, kind="sent", **none)])
        session.execute("UPDATE email_stat_deltas SET at = %s", (NOON,))
        rollups.fold(session)
    assert buckets(session) == [("sent", NOON, 2)]


def test_a_fold_is_bounded_and_takes_the_oldest(session, made):
    for kind in ("planned", "sent", "failed"):
        counted(session, made, kind)
    assert rollups.fold(session, 2) == 2
    assert [row[0] for row in buckets(session)] == ["planned", "sent"]
    assert rollups.fold(session, 2) == 1
    assert rollups.fold(session, 2) == 0


def test_two_folders_at_once_lose_and_double_nothing(session, database, made):
    for n in range(600):
        counted(session, made, ("planned", "sent", "opened")[n % 3], step=n % 2)

    def work() -> None:
        with connect(database) as own:
            while rollups.fold(own, 20):
                pass

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    while rollups.fold(session):
        pass
    total = reports.funnel(session, made.campaign_id).total
    assert (total.planned, total.sent, total.opened) == (200, 200, 200)


def test_the_funnel_is_the_same_before_between_and_after_folds(session, made):
    for kind, n in (("planned", 10), ("sent", 7), ("failed", 1), ("opened", 4), ("clicked", 2)):
        counted(session, made, kind, n)
    counted(session, made, "planned", 3, step=1)
    before = reports.funnel(session, made.campaign_id)
    assert rollups.fold(session, 2) == 2
    between = reports.funnel(session, made.campaign_id)
    rollups.fold(session)
    assert before == between == reports.funnel(session, made.campaign_id)
    assert [(step.position, step.counts) for step in before.steps] == [
        (1, Counts(planned=10, sent=7, failed=1, opened=4, clicked=2)),
        (2, Counts(planned=3)),
    ]
    assert before.total == Counts(planned=13, sent=7, failed=1, opened=4, clicked=2)
    assert before.total.waiting == 5


def test_a_new_campaign_has_a_funnel_of_zeros(session, made):
    funnel = reports.funnel(session, made.campaign_id)
    assert [step.counts for step in funnel.steps] == [Counts(), Counts()]
    assert (funnel.total, reports.by_hour(session, made.campaign_id)) == (Counts(), [])
    assert reports.by_account(session, made.campaign_id) == []


def test_other_campaigns_and_unknown_kinds_stay_out(session, made):
    counted(session, campaign(session), "sent")
    counted(session, made, "hits_open", 9)
    assert reports.funnel(session, made.campaign_id).total == Counts()


def test_each_account_has_its_own_counts(session, made):
    counted(session, made, "planned", 2)
    other = make_account(session, made.app_id, address="other@example.com").id
    counted(session, replace(made, account_id=other), "planned", 5)
    rollups.fold(session, 1)
    assert [(row.address, row.counts) for row in reports.by_account(session, made.campaign_id)] == [
        ("other@example.com", Counts(planned=5)),
        ("sender@example.com", Counts(planned=2)),
    ]


def test_hours_are_utc_and_oldest_first(session, made):
    for minutes, n in ((0, 1), (59, 2), (60, 4)):
        counted(session, made, "sent", n)
        session.execute(
            "UPDATE email_stat_deltas SET at = %s WHERE n = %s",
            (NOON + dt.timedelta(minutes=minutes), n),
        )
    rollups.fold(session, 2)
    assert [(row.hour, row.counts.sent) for row in reports.by_hour(session, made.campaign_id)] == [
        (NOON, 3),
        (NOON + dt.timedelta(hours=1), 4),
    ]
