"""The code reads and stands as STYLE says: formatted, linted, typed, floors held, one writer each."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from app.tables import metadata

ROOT = Path(__file__).parents[2]
SOURCES = ("app", "actors", "tracking", "infra")
TOOLS = {
    "formatted": ["ruff", "format", "--check", "."],
    "linted": ["ruff", "check", "."],
    "typed": ["mypy"],
}


@pytest.mark.parametrize("claim", TOOLS)
def test_the_tree_is(claim: str) -> None:
    done = _run([sys.executable, "-m", *TOOLS[claim]])
    assert done.returncode == 0, done.stdout + done.stderr


def test_floors_are_held() -> None:
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = _run([sys.executable, "-c", lint])
    assert done.returncode == 0, done.stdout


# What several rooms may write, and why.
SHARED_WRITERS = {
    # An enrolment's planning and a suppression's stop are one room; a lead's status follows both.
    "email_stat_deltas": {"lifecycle", "analytics"},  # appended by moves, folded away by rollups
    "webhook_events": {"lifecycle", "webhooks"},  # noted by moves, taken away by the fan-out
}
_WRITE = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|COPY)\s+([a-z_]+)\b")


def test_each_table_has_one_writing_room() -> None:
    writers: dict[str, set[str]] = defaultdict(set)
    for path in _python(*SOURCES):
        for table in _WRITE.findall(path.read_text()):
            if table in metadata.tables:
                writers[table].add(_room(path))
    wrong = {
        table: sorted(rooms)
        for table, rooms in writers.items()
        if len(rooms) > 1 and rooms != SHARED_WRITERS.get(table)
    }
    assert wrong == {}


def test_no_file_is_longer_than_300_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in _python(*SOURCES) if (n := _lines(p)) > 300}
    assert long == {}


def test_no_secret_machine_path_or_registry_is_committed() -> None:
    listed = _run(["git", "ls-files", "-z"]).stdout.split("\0")
    private = re.compile(r"BEGIN [A-Z ]*PRIVATE KEY|files\.pythonhosted\.org|/root/|/home/[a-z]+/")
    found = [
        name
        for name in listed
        if name
        and (ROOT / name).is_file()
        and name != "tests/quality/test_code.py"
        and private.search((ROOT / name).read_text(errors="ignore"))
    ]
    assert found == []


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def _python(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def _room(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "app" and len(parts) > 2 else path.stem


def _lines(path: Path) -> int:
    return path.read_text().count("\n")
