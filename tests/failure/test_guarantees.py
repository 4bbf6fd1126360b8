"""docs/guarantees.md names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/guarantees.md").read_text()
_COMMAND = re.compile(r'^\./run test (\S+?)(?:::(\w+))?(?: -k "?([^"\n]*)"?)?$', re.MULTILINE)
NAMED = _COMMAND.findall(TEXT)


@pytest.mark.parametrize(("path", "test", "words"), NAMED)
def test_each_sentence_is_proved_by_a_test_that_exists(path, test, words) -> None:
    text = (ROOT / path).read_text()
    assert re.search(rf"^def {test}\(" if test else r"^def test_", text, re.MULTILINE)
    assert all(word in text for word in words.split(" or ") if word)


def test_every_command_is_read() -> None:
    assert len(NAMED) == TEXT.count("\n./run test ")
