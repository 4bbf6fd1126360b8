"""docs/guarantees.md names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_COMMAND = re.compile(r"^\./run test (\S+?)(?:::(\w+))?(?: -k .*)?$", re.MULTILINE)
NAMED = _COMMAND.findall((ROOT / "docs/guarantees.md").read_text())


@pytest.mark.parametrize(("path", "test"), NAMED)
def test_each_sentence_is_proved_by_a_test_that_exists(path, test) -> None:
    assert f"def {test or 'test_'}" in (ROOT / path).read_text()
