"""A score says nothing about too few mails, and names its reasons."""

import pytest

from app.analytics.reputation import score
from app.policy.reputation import Conduct, Thresholds

LIMITS = Thresholds()


def test_too_few_mails_are_not_judged():
    found = score(Conduct(sent=99, bounced=50), LIMITS, has_feedback=True)
    assert (found.score, found.bounce_rate) == (None, None)
    assert "too few" in found.reasons[0]


def test_without_feedback_there_is_no_complaint_rate():
    found = score(Conduct(sent=1_000), LIMITS, has_feedback=False)
    assert (found.complaint_rate, found.score) == (None, 100)
    assert "feedback" in found.reasons[0]


@pytest.mark.parametrize(
    ("bounced", "complained", "points", "words"),
    [
        (0, 0, 100, ""),
        (30, 0, 85, "clean the list"),
        (50, 0, 75, "slowed"),
        (100, 0, 50, "slowed"),
        (0, 1, 77, "providers act"),
        (0, 3, 30, "held back"),
        (200, 50, 0, "held back"),
    ],
)
def test_the_score_falls_with_its_reasons(bounced, complained, points, words):
    conduct = Conduct(sent=1_000, bounced=bounced, complained=complained)
    found = score(conduct, LIMITS, has_feedback=True)
    assert found.score == points
    assert words in " ".join(found.reasons)
