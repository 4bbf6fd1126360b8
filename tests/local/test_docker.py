"""The Docker way, against a stand-in for the `docker` program that notes what it is told."""

from pathlib import Path

import pytest

from app.errors import DependencyUnavailable
from infra.local import docker, ports
from infra.local.places import Place
from infra.local.sources import Service

NOTING = '#!/bin/sh\necho "$@" "pg=$POSTGRES_PORT" >> "{log}"\nexit {code}\n'


@pytest.fixture
def stack(tmp_path: Path) -> Place:
    return Place(root=tmp_path)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MAILQUEUE_LOCAL_SOURCES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    (tmp_path / "bin").mkdir()
    log = tmp_path / "told"

    def put(body: str) -> Path:
        program = tmp_path / "bin/docker"
        program.write_text(body)
        program.chmod(0o755)
        return log

    return put


def test_an_engine_that_does_not_answer_is_no_engine(install) -> None:
    install("#!/bin/sh\nexit 1\n")
    assert not docker.engine_answers()


def test_an_engine_that_hangs_is_given_up_after_two_seconds(install) -> None:
    install("#!/bin/sh\nexec sleep 30\n")
    assert not docker.engine_answers()


def test_docker_can_be_ruled_out(install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("#!/bin/sh\nexit 0\n")
    assert docker.engine_answers()
    monkeypatch.setenv("MAILQUEUE_LOCAL_SOURCES", "system,wheel,debian")
    assert not docker.engine_answers()


def test_only_missing_services_start_on_the_stacks_own_ports(install, stack: Place) -> None:
    log = install(NOTING.format(log=stack.root / "told", code=0))
    numbers = ports.throwaway()

    docker.start(stack, [Service.POSTGRES, Service.REDIS], numbers)

    told = log.read_text().strip()
    assert told.endswith(f"up -d --wait postgres redis pg={numbers['postgres']}")
    assert f"-p {docker.project(stack)}" in told


def test_two_stacks_are_two_compose_projects(tmp_path: Path) -> None:
    one, other = Place(root=tmp_path / "up"), Place(root=tmp_path / "test-1")
    assert docker.project(one) != docker.project(other)


def test_a_failing_compose_says_how_to_go_without_docker(install, stack: Place) -> None:
    install(NOTING.format(log=stack.root / "told", code=1))
    with pytest.raises(DependencyUnavailable, match="MAILQUEUE_LOCAL_SOURCES"):
        docker.start(stack, [Service.REDIS], ports.throwaway())
