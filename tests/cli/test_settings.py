"""Settings documentation: generated, and in step with what is committed."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import __main__ as program
from app.cli.settings_file import env_file, example, markdown_table, variables
from app.config import Settings

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> object:
    return CliRunner().invoke(program.program, arguments)


def test_env_example_is_in_step() -> None:
    assert (ROOT / ".env.example").read_text() == example()


def test_the_readme_table_is_in_step() -> None:
    assert markdown_table() in (ROOT / "README.md").read_text()


def test_every_setting_is_documented() -> None:
    assert len(list(variables())) == len(Settings.model_fields)
    assert all(found.about.endswith(".") for found in variables())


def test_an_example_file_reads_back_as_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found in variables():
        monkeypatch.delenv(found.name, raising=False)
    file = tmp_path / ".env"
    file.write_text(example())
    assert Settings(_env_file=file) == Settings(_env_file=None)


def test_a_value_with_spaces_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAILQUEUE_HELO_NAME", raising=False)
    file = tmp_path / ".env"
    file.write_text(env_file({"MAILQUEUE_HELO_NAME": "a # b"}))
    assert Settings(_env_file=file).helo_name == "a # b"


def test_init_writes_a_private_file_with_fresh_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAILQUEUE_CRON_SECRET", raising=False)
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        assert run("init", "--file", str(path)).exit_code == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    one, two = (Settings(_env_file=path) for path in paths)
    assert one.cron_secret.get_secret_value() != two.cron_secret.get_secret_value()


def test_init_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("KEEP=me\n")
    result = run("init", "--file", str(path))
    assert result.exit_code == 1
    assert path.read_text() == "KEEP=me\n"
    assert "--force" in result.stderr


def test_init_with_force_keeps_a_backup(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("KEEP=me\n")
    assert run("init", "--file", str(path), "--force").exit_code == 0
    assert (tmp_path / ".env.1.bak").read_text() == "KEEP=me\n"


def test_init_sets_what_is_asked(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    run("init", "--file", str(path), "--set", "MAILQUEUE_WEB_PORT=9000")
    assert "MAILQUEUE_WEB_PORT=9000\n" in path.read_text()
