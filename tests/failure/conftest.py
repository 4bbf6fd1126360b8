"""Private services for the whole folder, a fresh stand for each fault."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.failure.killable import Services
from tests.failure.stand import Stand


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    running = Services(tmp_path_factory.mktemp("services"))
    yield running
    running.close()


@pytest.fixture
def stand(services: Services, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stand]:
    made = Stand(services, tmp_path, request.node.name)
    yield made
    made.close()


@pytest.fixture
def promise(capsys: pytest.CaptureFixture[str]) -> Callable[[Stand], None]:
    """Counts, prints the row of the table, and fails on whatever breaks the promise."""

    def check(stand: Stand) -> None:
        count = stand.count()
        with capsys.disabled():
            sys.stdout.write(f"\n{row(count)}")
        assert count.violations == [], count

    return check


def row(count) -> str:
    return (
        f"{count.fault:60} planned {count.planned:5} arrived {count.arrived:5} lost {count.lost}"
        f" doubled {count.doubled} unknown {count.unknown} of {count.open_at_kill}"
        f" off by {count.off_by} {count.seconds:5.1f} s"
    )
