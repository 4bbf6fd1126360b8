"""Does it add up: what the database says against what arrived and what was done. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.analytics.reports import Funnel
from app.lifecycle.ledger import Ledger

# The wish travels from the tracking process through RabbitMQ to the sequence; what is with the
# server by then is too late to be called back.
GRACE_MS = 5_000

ENGAGEMENT = ("opened", "opened_human", "clicked", "clicked_human", "unsubscribed")


class Arrival(NamedTuple):
    """A mail in the inbox, at wall-clock milliseconds."""

    recipient: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Both sides: `leads` enrolled, what `arrived` per step, and who did what per step.

    `goodbyes` says when each unsubscribe was answered.
    """

    leads: int
    funnel: Funnel
    ledger: Ledger
    arrived: Mapping[int, Sequence[Arrival]]
    goodbyes: Mapping[str, int]
    done: Mapping[str, Mapping[int, set[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One claim and whether it holds."""

    claim: str
    expected: int
    found: int

    @property
    def holds(self) -> bool:
        """Whether both sides say the same."""
        return self.expected == self.found


def is_analysed(funnel: Funnel, done: Mapping[str, Mapping[int, set[str]]]) -> bool:
    """Tell whether every deed of the readers is counted."""
    return all(proof.holds for proof in _engagement(funnel, done))


def proofs(evidence: Evidence) -> Iterator[Proof]:
    """Yield every claim of the demo."""
    books = evidence.ledger
    yield Proof(claim="the ledger is off by", expected=0, found=books.off_by)
    yield Proof(claim="mails still waiting", expected=0, found=books.waiting)
    yield Proof(claim="mails with unknown outcome", expected=0, found=books.unknown)
    yield Proof(
        claim="ledger and funnel planned the same",
        expected=books.planned,
        found=evidence.funnel.total.planned,
    )
    yield from _arrivals(evidence)
    yield from _engagement(evidence.funnel, evidence.done)
    yield _stopped(evidence)


def _arrivals(evidence: Evidence) -> Iterator[Proof]:
    planned = [step.counts.planned for step in evidence.funnel.steps]
    yield Proof(claim="step 1 planned for every lead", expected=evidence.leads, found=planned[0])
    for step in evidence.funnel.steps:
        arrived = [mail.recipient for mail in evidence.arrived.get(step.position, ())]
        name = f"step {step.position}"
        yield Proof(
            claim=f"{name}: mails in the inbox", expected=step.counts.sent, found=len(arrived)
        )
        twice = sum(count - 1 for count in Counter(arrived).values())
        yield Proof(claim=f"{name}: recipients who got it twice", expected=0, found=twice)


def _engagement(funnel: Funnel, done: Mapping[str, Mapping[int, set[str]]]) -> Iterator[Proof]:
    for step in funnel.steps:
        for name in ENGAGEMENT:
            yield Proof(
                claim=f"step {step.position}: {name.replace('_', ' by a ')}",
                expected=len(done.get(name, {}).get(step.position, ())),
                found=getattr(step.counts, name),
            )


def _stopped(evidence: Evidence) -> Proof:
    """Whoever unsubscribed got nothing more, but for what was on its way already."""
    again = [
        mail
        for arrived in evidence.arrived.values()
        for mail in arrived
        if mail.at_ms > evidence.goodbyes.get(mail.recipient, mail.at_ms) + GRACE_MS
    ]
    return Proof(claim="mails to those who unsubscribed before", expected=0, found=len(again))
