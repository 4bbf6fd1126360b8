"""How well an app's mail is received: rates, a score from 0 to 100, and its reasons. Pure.

Rates count against accepted mail. Below the smallest sample nothing is said: one bounce among ten
mails is no rate of ten per cent. Without any complaint ever received there may simply be no
feedback loop, so the complaint rate is then unknown, not 0 % (DESIGN 12).
"""

from dataclasses import dataclass

from app.analytics.reports import Counts

SMALLEST_SAMPLE = 100
COMPLAINTS_WARN, COMPLAINTS_HOLD = 0.001, 0.003
BOUNCES_WARN, BOUNCES_THROTTLE = 0.02, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Reputation:
    """What the last days say. Rates are shares of accepted mail; None = too little to say."""

    sent: int
    bounce_rate: float | None
    complaint_rate: float | None
    score: int | None
    reasons: tuple[str, ...]


def judge(counts: Counts, *, has_feedback: bool) -> Reputation:
    """Return the reputation that these counts stand for."""
    if counts.sent < SMALLEST_SAMPLE:
        said = f"{counts.sent} mails are too few to judge; {SMALLEST_SAMPLE} are needed."
        return Reputation(
            sent=counts.sent, bounce_rate=None, complaint_rate=None, score=None, reasons=(said,)
        )
    bounces = counts.bounced / counts.sent
    complaints = counts.complained / counts.sent if has_feedback else None
    lost, reasons = _lost_for_bounces(bounces)
    if complaints is None:
        reasons.append("No complaint was ever reported: there may be no feedback source.")
    else:
        more, why = _lost_for_complaints(complaints)
        lost, reasons = lost + more, reasons + why
    return Reputation(
        sent=counts.sent,
        bounce_rate=bounces,
        complaint_rate=complaints,
        score=max(0, round(100 - lost)),
        reasons=tuple(reasons),
    )


def _lost_for_bounces(rate: float) -> tuple[float, list[str]]:
    """Take up to 50 points: all of them at twice the rate that throttles."""
    lost = min(50.0, 50 * rate / (2 * BOUNCES_THROTTLE))
    if rate >= BOUNCES_THROTTLE:
        return lost, [f"{rate:.1%} bounced: at {BOUNCES_THROTTLE:.0%} sending is slowed."]
    if rate >= BOUNCES_WARN:
        return lost, [f"{rate:.1%} bounced: clean the list before it is {BOUNCES_THROTTLE:.0%}."]
    return lost, []


def _lost_for_complaints(rate: float) -> tuple[float, list[str]]:
    """Take up to 70 points: all of them at the rate that holds mail back."""
    lost = min(70.0, 70 * rate / COMPLAINTS_HOLD)
    if rate >= COMPLAINTS_HOLD:
        return lost, [f"{rate:.2%} complained: at {COMPLAINTS_HOLD:.1%} mail is held back."]
    if rate >= COMPLAINTS_WARN:
        return lost, [f"{rate:.2%} complained: mailbox providers act at {COMPLAINTS_HOLD:.1%}."]
    return lost, []
