"""docker-compose.yml: the services of the design, their health, and commands that exist."""

import re
from typing import Any

import pytest
import yaml

from app.__main__ import program
from app.config import Settings
from app.queueing.steps import STEPS
from infra.local import fleet
from infra.local.places import ROOT

APPLICATION = {"web", "tracking", "workers-mail", "workers-rest", "clock"}
SERVICES = {"postgres", "rabbitmq", "redis"}
TEXT = (ROOT / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load(TEXT)


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    return compose["services"]


def queues_of(command: list[str]) -> list[str]:
    return command[command.index("--queues") + 1 :]


def test_every_process_of_the_design_is_a_service(services) -> None:
    assert set(services) == APPLICATION | SERVICES | {"migrate", "inbox", "inbound"}
    assert services["inbox"]["profiles"] == ["dev"]
    assert services["inbound"]["profiles"] == ["inbound"]


def test_every_service_that_stays_has_a_health_check(services) -> None:
    unchecked = [name for name, it in services.items() if not it["healthcheck"].get("test")]
    assert unchecked == ["migrate"]


@pytest.mark.parametrize("name", sorted(APPLICATION | {"migrate", "inbox", "inbound"}))
def test_every_command_exists(services, name: str) -> None:
    command = services[name]["command"]
    if command[0] == "dramatiq":
        assert command[1] == "actors"
    else:
        assert command[0] == "mailqueue"
        assert command[1] in program.list_commands(None)


@pytest.mark.parametrize("name", sorted(APPLICATION))
def test_nothing_starts_before_the_tables_exist(services, name: str) -> None:
    waits = services[name]["depends_on"]
    assert waits["migrate"] == {"condition": "service_completed_successfully"}


def test_tracking_starts_while_the_broker_is_away(services) -> None:
    assert "rabbitmq" not in services["tracking"]["depends_on"]


def test_both_worker_fleets_together_take_every_queue_once(services) -> None:
    mail = queues_of(services["workers-mail"]["command"])
    rest = queues_of(services["workers-rest"]["command"])
    assert sorted([*mail, *rest]) == sorted(queue for step in STEPS for queue in step.queues)


def test_the_fleets_are_the_same_with_and_without_docker(services) -> None:
    assert queues_of(services["workers-mail"]["command"]) == list(fleet.MAIL_QUEUES)
    assert queues_of(services["workers-rest"]["command"]) == list(fleet.OTHER_QUEUES)


@pytest.mark.parametrize("name", ["tracking", "workers-mail", "workers-rest"])
def test_journals_and_spools_outlive_their_container(compose, services, name: str) -> None:
    (volume,) = services[name]["volumes"]
    source, target = volume.split(":")
    assert source in compose["volumes"]
    assert target == services[name]["environment"]["MAILQUEUE_STATE_DIR"]


def test_no_two_fleets_share_a_state_volume(services) -> None:
    used = [services[name]["volumes"][0] for name in ("tracking", "workers-mail", "workers-rest")]
    assert len(set(used)) == len(used)


def test_passwords_come_from_the_environment_and_have_no_default() -> None:
    used = re.findall(r"\$\{(\w*PASSWORD\w*)(.{2})", TEXT)
    assert {name for name, _ in used} == {"POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"}
    assert {operator for _, operator in used} == {":?"}


def test_every_mailqueue_variable_is_a_setting(services) -> None:
    known = {f"mailqueue_{name}".upper() for name in Settings.model_fields}
    set_here = {name for it in services.values() for name in it.get("environment", {})}
    assert {name for name in set_here if name.startswith("MAILQUEUE_")} - known == set()


def test_ports_are_published_to_this_machine_only(services) -> None:
    ports = [port for it in services.values() for port in it.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_mounted_file_exists(services) -> None:
    volumes = [entry for it in services.values() for entry in it.get("volumes", [])]
    files = [entry.split(":")[0] for entry in volumes if entry.startswith("./")]
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_image_is_built_from_files_that_exist() -> None:
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    copied = re.findall(r"(?m)^COPY (?!--)(.+) \S+$", dockerfile)
    sources = [name for line in copied for name in line.split()]
    assert [name for name in sources if not (ROOT / name).exists()] == []


def test_the_image_does_not_run_as_root() -> None:
    dockerfile = (ROOT / "infra/docker/Dockerfile").read_text()
    assert re.findall(r"(?m)^USER (\w+)$", dockerfile) == ["mailqueue"]
