"""What the application's processes are told."""

from pathlib import Path

import pytest

from app.config import Settings
from app.queueing.steps import STEPS
from infra.local import commands, environment, fleet, ports
from infra.local.__main__ import main
from infra.local.places import Place


def test_an_env_file_is_read_without_comments_and_quotes(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# a comment\n\nONE=1\nTWO='2 = two'\n")
    assert environment.read_env_file(file) == {"ONE": "1", "TWO": "2 = two"}


def test_no_env_file_is_an_empty_one(tmp_path: Path) -> None:
    assert environment.read_env_file(tmp_path / ".env") == {}


def test_everything_the_launcher_sets_is_a_setting(tmp_path: Path) -> None:
    known = {f"mailqueue_{name}".upper() for name in Settings.model_fields}
    told = environment.addresses(Place(root=tmp_path), ports.throwaway())
    assert {*told, *environment.throwaway_secrets()} - known == set()


def test_throwaway_secrets_are_never_the_same() -> None:
    first, second = environment.throwaway_secrets(), environment.throwaway_secrets()
    assert not set(first.values()) & set(second.values())


def test_the_two_fleets_take_every_queue_once() -> None:
    taken = [*fleet.MAIL_QUEUES, *fleet.OTHER_QUEUES]
    assert sorted(taken) == sorted(queue for step in STEPS for queue in step.queues)


def test_the_mail_fleet_has_as_many_processes_as_the_settings_say() -> None:
    env = {"MAILQUEUE_WORKER_PROCESSES": "5", "MAILQUEUE_WORKER_THREADS": "3"}
    commands_by_name = {it.name: list(it.command) for it in fleet.application(env)}
    mail = commands_by_name["workers-mail"]
    assert mail[mail.index("-p") + 1] == "5"
    assert mail[mail.index("-t") + 1] == "3"


@pytest.mark.parametrize("words", [["-n0"], ["--numprocesses=4"], ["--pdb"], ["-s", "tests/x"]])
def test_pytest_gets_two_workers_unless_told_otherwise(words: list[str]) -> None:
    assert commands.with_workers(words) == words
    two = ["-n", "2", "--dist", "worksteal"]
    assert commands.with_workers(["-k", "ledger"]) == [*two, "-k", "ledger"]


def test_an_unknown_command_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upp"]) == 1
    assert "./run up" in capsys.readouterr().err


def test_an_unknown_argument_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--freshly"]) == 1
    assert "--fresh" in capsys.readouterr().err
