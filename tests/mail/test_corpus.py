"""Real bounces of many servers: exact recipients, and hard verdicts that are right."""

import json
from pathlib import Path

from tests.mail.corpus_score import scored

CORPUS = Path(__file__).parent / "corpus"
EXPECTED = json.loads((CORPUS / "expected.json").read_text())


def test_recipients_are_exact_and_hard_verdicts_right():
    score = scored(CORPUS / "flufl", EXPECTED)

    assert score.mails >= 115
    assert score.exact >= 0.98 * score.mails, f"{score} {score.wrong}"
    assert score.hard_right >= 0.98 * score.hard, score.wrong
    assert score.hard_right >= 0.95 * score.hard_expected, score.wrong
