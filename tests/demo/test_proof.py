"""The demo's proof fails for each way in which the numbers can be wrong."""

import dataclasses
import uuid

import pytest

from app.analytics.reports import Counts, Funnel, StepCounts
from app.demo.proof import Arrival, Evidence, is_analysed, proofs
from app.lifecycle.ledger import Ledger


def arrivals(recipients: dict[int, list[str]]) -> dict[int, list[Arrival]]:
    """Step n arrives n minutes into the run."""
    return {
        step: [Arrival(recipient=who, at_ms=step * 60_000) for who in listed]
        for step, listed in recipients.items()
    }


def evidence() -> Evidence:
    one = Counts(planned=2, sent=2, opened=1, opened_human=1, unsubscribed=1)
    two = Counts(planned=1, sent=1)
    steps = tuple(
        StepCounts(step_id=uuid.uuid4(), position=position, counts=counts)
        for position, counts in ((1, one), (2, two))
    )
    return Evidence(
        leads=2,
        funnel=Funnel(steps=steps, total=one + two),
        ledger=Ledger(
            planned=3,
            sent=3,
            failed=0,
            suppressed=0,
            cancelled=0,
            expired=0,
            unknown=0,
            waiting=0,
        ),
        arrived=arrivals({1: ["a", "b"], 2: ["b"]}),
        goodbyes={"a": 61_000},
        done={"opened": {1: {"b"}}, "opened_human": {1: {"b"}}, "unsubscribed": {1: {"a"}}},
    )


def wrong(found: Evidence) -> list[str]:
    return [proof.claim for proof in proofs(found) if not proof.holds]


def test_a_right_run_holds() -> None:
    assert wrong(evidence()) == []


@pytest.mark.parametrize(
    ("arrived", "claim"),
    [
        ({1: ["a", "b", "b"], 2: ["b"]}, "step 1: recipients who got it twice"),
        ({1: ["a"], 2: ["b"]}, "step 1: mails in the inbox"),
        ({1: ["a", "b"], 2: ["a"]}, "mails to those who unsubscribed before"),
    ],
)
def test_what_arrived_wrongly_is_named(arrived, claim: str) -> None:
    assert claim in wrong(dataclasses.replace(evidence(), arrived=arrivals(arrived)))


def test_a_ledger_that_is_off_is_named() -> None:
    right = evidence()
    off = dataclasses.replace(right, ledger=dataclasses.replace(right.ledger, sent=2))
    assert "the ledger is off by" in wrong(off)


def test_a_deed_that_was_not_counted_is_named() -> None:
    right = evidence()
    done = {**right.done, "clicked": {2: {"b"}}}
    assert wrong(dataclasses.replace(right, done=done)) == ["step 2: clicked"]
    assert not is_analysed(right.funnel, done)
    assert is_analysed(right.funnel, right.done)


def test_a_mail_that_was_on_its_way_when_somebody_unsubscribed_is_no_fault() -> None:
    right = evidence()
    arrived = {**right.arrived, 2: [*right.arrived[2], Arrival(recipient="a", at_ms=62_000)]}
    assert "mails to those who unsubscribed before" not in wrong(
        dataclasses.replace(right, arrived=arrived)
    )
