"""A score says nothing about too few mails, and names its reasons."""

import pytest

from app.analytics.reports import Counts
from app.analytics.reputation import judge


def test_too_few_mails_are_not_judged():
    found = judge(Counts(sent=99, bounced=50), has_feedback=True)
    assert (found.score, found.bounce_rate) == (None, None)
    assert "too few" in found.reasons[0]


def test_without_feedback_there_is_no_complaint_rate():
    found = judge(Counts(sent=1_000), has_feedback=False)
    assert (found.complaint_rate, found.score) == (None, 100)
    assert "feedback" in found.reasons[0]


@pytest.mark.parametrize(
    ("bounced", "complained", "score", "words"),
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
def test_the_score_falls_with_its_reasons(bounced, complained, score, words):
    found = judge(Counts(sent=1_000, bounced=bounced, complained=complained), has_feedback=True)
    assert found.score == score
    assert words in " ".join(found.reasons)
