"""`.venv`: fresh or not, and the command in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import DependencyUnavailable
from infra.local import virtualenv
from infra.local.places import ROOT


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "requirements.lock"
    file.write_text("")
    return file


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    return folder


def test_a_venv_without_a_stamp_was_never_finished(venv: Path, lock: Path) -> None:
    assert not virtualenv.is_fresh(venv, lock)


def test_a_venv_is_stale_as_soon_as_the_lock_file_changes(venv: Path, lock: Path) -> None:
    (venv / "stamp").write_text(virtualenv.stamp_of(lock))
    assert virtualenv.is_fresh(venv, lock)
    lock.write_text("redis==8.0.0\n")
    assert not virtualenv.is_fresh(venv, lock)


def test_without_ensurepip_a_pip_wheel_is_looked_for(tmp_path: Path) -> None:
    wheel = tmp_path / "second/pip-25.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    assert virtualenv.pip_wheel([tmp_path / "first", tmp_path / "second"]) == wheel


def test_without_any_pip_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no apt-get either
    with pytest.raises(DependencyUnavailable, match="python3-venv"):
        virtualenv.pip_wheel([tmp_path])


def test_the_mailqueue_command_runs_its_own_checkout_from_anywhere(tmp_path: Path) -> None:
    checkout = tmp_path / "a checkout"
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to(sys.executable)
    (checkout / "app").mkdir()
    (checkout / "app/__main__.py").write_text("import sys; print(__file__, sys.argv[1:])")
    virtualenv.write_console_script(checkout / ".venv")

    done = subprocess.run(
        [str(checkout / ".venv/bin/mailqueue"), "ledger", "--json"],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == f"{checkout}/app/__main__.py ['ledger', '--json']"


def test_the_launcher_starts_on_a_python_with_nothing_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "infra.local", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "./run up" in done.stdout
