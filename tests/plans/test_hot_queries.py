"""Every hot query on a big table: its index, its partitions, no scan of a table, no sort on disk."""

import datetime as dt
from uuid import UUID

import pytest

from app.analytics import rollups
from app.assembly.expiry import WORDS
from app.assembly.recipients import waiting
from app.campaigns import sequence
from app.clock import utc_now
from app.db.expiry import Expiry
from app.db.session import Session
from app.feedback.expiry import ANSWERS
from app.ids import new_id, new_ids
from app.lifecycle import attempts, chunks, events, lookup, transitions, unknowns
from app.lifecycle.attempts import Outcome
from app.lifecycle.chunks import Chunk
from app.lifecycle.retired import COPIES
from app.lifecycle.states import State
from app.lifecycle.unknowns import Selection
from app.scheduling import due
from app.submission.expiry import MESSAGES
from tests.factories import make_app
from tests.plans.conftest import Plans, Town

_SMALL = 100  # pages: a table this small may be read whole


@pytest.fixture
def picked(session: Session, plans: Plans) -> list[UUID]:
    """A micro-batch that lies side by side, as the release would take it."""
    rows = session.execute("SELECT id FROM emails WHERE due_at IS NOT NULL ORDER BY id LIMIT 100")
    ids = [row[0] for row in rows.fetchall()]
    plans.found.clear()
    return ids


def held(session: Session, plans: Plans, town: Town, *, own_month: bool = False) -> None:
    """Assert what holds for each hot query."""
    sizes = dict(session.execute("SELECT relname, relpages FROM pg_class").fetchall())
    plans.found.pop()
    assert plans.found
    for node in plans.nodes():
        table = node.get("Relation Name", "")
        if node["Node Type"] == "Seq Scan":
            assert sizes[table] < _SMALL, f"{table} is read whole"
        assert node.get("Sort Space Type") != "Disk", "a sort spills to disk"
        if own_month and table.startswith(("emails_", "email_events_")) and node["Actual Loops"]:
            assert table[-7:] in town.months, f"{table} is not pruned"


def indexes(plans: Plans) -> set[str]:
    """The indexes used, named as those of the parent's partitions begin."""
    return {node["Index Name"] for node in plans.nodes() if "Index Name" in node}


def test_due_accounts_are_found_by_skipping(session: Session, plans: Plans, town: Town):
    (account,) = due.accounts(session)
    assert account.account_id == town.account_id
    held(session, plans, town)
    assert any("account_id_priority" in name for name in indexes(plans))
    read = [n for n in plans.nodes() if n.get("Relation Name", "").startswith("emails_")]
    assert sum(n["Actual Rows"] * n["Actual Loops"] for n in read) < 100


def test_a_pick_reads_no_more_than_it_takes(session: Session, plans: Plans, town: Town):
    accounts = due.accounts(session)
    plans.found.clear()
    picks = due.pick(session, accounts, {town.account_id: 1_000}, 1_000)
    assert len(picks) == 1_000
    held(session, plans, town)
    assert any("account_id_priority" in name for name in indexes(plans))
    scans = [n for n in plans.nodes() if n.get("Relation Name", "").startswith("emails_")]
    assert sum(n["Actual Rows"] * n["Actual Loops"] for n in scans) <= 1_100


def test_release_claim_and_outcome_touch_only_their_rows(
    session: Session, plans: Plans, town: Town, picked: list[UUID]
):
    transitions.release(session, picked)
    chunk_id = _chunk(session, town, picked)
    waiting(session, picked)
    rows = attempts.claim(session, picked, "worker/1")
    now = utc_now()
    fresh = new_ids(len(rows), now)
    outcomes = [_sent(row, event) for row, event in zip(rows, fresh, strict=True)]
    assert len(attempts.record(session, outcomes, chunk_id)) == len(picked) == 100
    held(session, plans, town, own_month=True)
    assert any(name.startswith("emails_") and name.endswith("_pkey") for name in indexes(plans))


def test_a_chunk_is_settled_held_back_and_swept_by_key(
    session: Session, plans: Plans, town: Town, picked: list[UUID]
):
    transitions.release(session, picked)
    chunk_id = _chunk(session, town, picked)
    transitions.hold_back(session, picked[:50], due_at=utc_now(), reason="limit")
    chunks.settle(session, chunk_id, 50)
    session.execute("UPDATE released_chunks SET touched_at = '-infinity'")
    plans.found.pop()
    (review,) = chunks.review(session, age=dt.timedelta(minutes=5), limit=10)
    assert review.unfinished == 50
    chunks.in_flight(session)
    held(session, plans, town, own_month=True)


def test_a_timeline_reads_one_partition(
    session: Session, plans: Plans, town: Town, picked: list[UUID]
):
    ((sent,),) = session.execute("SELECT id FROM emails WHERE status = 'sent' LIMIT 1").fetchall()
    plans.found.clear()
    assert len(events.timeline(session, sent)) == 1
    held(session, plans, town, own_month=True)
    read = {n["Relation Name"] for n in plans.nodes() if "Relation Name" in n}
    assert len(read) == 1
    assert picked


def test_deltas_are_folded_oldest_first_by_key(session: Session, plans: Plans, town: Town):
    assert rollups.fold(session) == rollups.BATCH
    held(session, plans, town)
    assert "email_stat_deltas_pkey" in indexes(plans)


def test_a_recipients_mails_of_a_campaign_are_found_by_the_campaign(
    session: Session, plans: Plans, town: Town
):
    assert len(lookup.of_recipient(session, town.campaign_id, (75).to_bytes(32, "big"))) == 1
    held(session, plans, town)


def test_unknown_mails_are_treated_by_key(
    session: Session, plans: Plans, town: Town, picked: list[UUID]
):
    unknowns.follow_policy(session, picked)
    held(session, plans, town, own_month=True)


def test_due_enrolments_are_read_by_campaign_and_time(session: Session, plans: Plans, town: Town):
    assert sequence.plan_due(session, utc_now(), 200) == 200
    held(session, plans, town)
    assert "enrolments_due" in indexes(plans)


def test_unknown_mails_of_a_campaign_are_found_by_its_index(
    session: Session, plans: Plans, town: Town
):
    selection = Selection(app_id=town.app_id, campaign_id=town.campaign_id)
    found = unknowns.find(session, selection, limit=50)
    assert found == []
    held(session, plans, town)


def _chunk(session: Session, town: Town, ids: list[UUID]) -> UUID:
    chunk = Chunk(
        id=UUID(str(new_id())),
        app_id=town.app_id,
        account_id=town.account_id,
        lane="normal",
        payload={"email_ids": [str(email_id) for email_id in ids]},
        size=len(ids),
    )
    chunks.open_chunks(session, [chunk])
    return chunk.id


def _sent(row: tuple[object, ...], event_id: str) -> Outcome:
    return Outcome(
        email_id=row[0],
        fence=row[1],
        target=State.SENT,
        code=250,
        reason=None,
        due_at=None,
        event_id=event_id,
        data={"code": 250},
    )


def walked(plans: Plans, table: str) -> int:
    """How many rows of a table were looked at, also those that did not fit."""
    nodes = [node for node in plans.nodes() if node.get("Relation Name") == table]
    assert nodes
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
    )


@pytest.mark.parametrize("expiry", [MESSAGES, ANSWERS, COPIES])
def test_what_is_over_of_an_app_is_found_past_what_others_keep(
    session: Session, plans: Plans, expiry: Expiry
):
    app_id = make_app(session).id
    for owner in (app_id, None):
        plans.found.clear()
        assert expiry.take(session, owner, utc_now(), 1_000) == 0
        assert walked(plans, expiry.table) == 0


def test_words_that_are_over_are_found_past_the_blank_ones(
    session: Session, plans: Plans, town: Town
):
    assert WORDS.take(session, town.app_id, utc_now(), 1_000) == 0
    assert walked(plans, "template_versions") == 0
