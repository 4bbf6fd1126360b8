"""How well a sender's mail is received: rates, a score from 0 to 100, and its reasons. Pure.

Rates count against mail that servers answered. Below the smallest sample nothing is said: one
bounce among ten mails is no rate of ten per cent. Without any complaint ever received there may
simply be no feedback loop, so the complaint rate is then unknown, not 0 % (DESIGN 12). What follows
from the rates stands in app/policy/reputation.
"""

from dataclasses import dataclass

from app.policy.reputation import Conduct, Measure, Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reputation:
    """What the last days say. Rates are shares of answered mail; None = too little to say."""

    sent: int
    bounce_rate: float | None
    complaint_rate: float | None
    score: int | None
    reasons: tuple[str, ...]


def score(conduct: Conduct, thresholds: Thresholds, *, has_feedback: bool) -> Reputation:
    """Return the reputation that this conduct stands for."""
    if conduct.sent < thresholds.least_mails:
        said = f"{conduct.sent} mails are too few to judge; {thresholds.least_mails} are needed."
        return Reputation(
            sent=conduct.sent, bounce_rate=None, complaint_rate=None, score=None, reasons=(said,)
        )
    bounces = conduct.rate(Measure.BOUNCED)
    complaints = conduct.rate(Measure.COMPLAINED) if has_feedback else None
    lost, reasons = _lost_for_bounces(bounces, thresholds)
    if complaints is None:
        reasons.append("No complaint was ever reported: there may be no feedback source.")
    else:
        more, why = _lost_for_complaints(complaints, thresholds)
        lost, reasons = lost + more, reasons + why
    return Reputation(
        sent=conduct.sent,
        bounce_rate=bounces,
        complaint_rate=complaints,
        score=max(0, round(100 - lost)),
        reasons=tuple(reasons),
    )


def _lost_for_bounces(rate: float, limits: Thresholds) -> tuple[float, list[str]]:
    """Take up to 50 points: all of them at twice the rate that slows."""
    lost = min(50.0, 50 * rate / (2 * limits.bounces_slow))
    if rate >= limits.bounces_slow:
        return lost, [f"{rate:.1%} bounced: at {limits.bounces_slow:.0%} sending is slowed."]
    if rate >= limits.bounces_warn:
        return lost, [f"{rate:.1%} bounced: clean the list before it is {limits.bounces_slow:.0%}."]
    return lost, []


def _lost_for_complaints(rate: float, limits: Thresholds) -> tuple[float, list[str]]:
    """Take up to 70 points: all of them at the rate that holds mail back."""
    lost = min(70.0, 70 * rate / limits.complaints_hold)
    if rate >= limits.complaints_hold:
        return lost, [f"{rate:.2%} complained: at {limits.complaints_hold:.1%} mail is held back."]
    if rate >= limits.complaints_warn:
        said = f"{rate:.2%} complained: mailbox providers act at {limits.complaints_hold:.1%}."
        return lost, [said]
    return lost, []
