"""Folders of stacks: who owns one, and what in them is secret."""

import os
import stat
from pathlib import Path

import pytest

from app.errors import Conflict
from infra.local import places
from infra.local.places import Place


@pytest.fixture
def stack(tmp_path: Path) -> Place:
    return Place(root=tmp_path)


def test_two_launchers_never_share_a_stack(stack: Place) -> None:
    with (
        places.claimed(stack),
        pytest.raises(Conflict, match=r"\./run down"),
        places.claimed(stack),
    ):
        pass


def test_a_stack_is_free_again_when_its_launcher_ended(stack: Place) -> None:
    with places.claimed(stack):
        assert places.owner(stack) == os.getpid()
    assert places.owner(stack) is None


def test_what_runs_is_forgotten_when_the_launcher_ended(stack: Place) -> None:
    with places.claimed(stack):
        places.remember_running(stack, {"env": {}})
        assert places.read_running(stack) == {"env": {}}
    assert places.read_running(stack) is None


def test_the_password_is_random_kept_and_readable_by_its_owner_only(
    stack: Place, tmp_path: Path
) -> None:
    other = Place(root=tmp_path / "other")
    other.folder("logs")

    password = places.password(stack)

    assert places.password(stack) == password != places.password(other)
    assert stat.S_IMODE((stack.root / "password").stat().st_mode) == 0o600
