"""`./run` itself: it finds a Python, or says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.places import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with `run` and a stand-in for what it starts."""
    package = tmp_path / "infra/local"
    package.mkdir(parents=True)
    (package / "virtualenv.py").write_text("import sys; print(sys.version_info[:2], sys.argv[1:])")
    script = tmp_path / "run"
    script.write_bytes((ROOT / "run").read_bytes())
    script.chmod(0o755)
    return tmp_path


def python_called(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def run(checkout: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    tools = checkout / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "dirname").symlink_to("/usr/bin/dirname")
    clean = {"PATH": f"{checkout / 'bin'}:{tools}", **env}
    command = ["/bin/sh", str(checkout / "run"), *words]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=False)


def test_it_takes_the_newest_python_on_the_path_that_is_new_enough(checkout: Path) -> None:
    python_called(checkout / "bin", "python3.13", "exit 1")
    python_called(checkout / "bin", "python3", f'exec "{sys.executable}" "$@"')

    done = run(checkout, "test", "-k", "two words")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{sys.version_info[:2]} ['test', '-k', 'two words']"


def test_the_variable_python_comes_first(checkout: Path) -> None:
    python_called(checkout / "bin", "python3", "echo wrong")
    done = run(checkout, "status", PYTHON=sys.executable)
    assert "['status']" in done.stdout


def test_a_variable_python_that_is_too_old_is_an_error_not_a_surprise(checkout: Path) -> None:
    old = python_called(checkout / "bin", "old", "exit 1")
    done = run(checkout, "up", PYTHON=str(old))
    assert done.returncode == 2
    assert f"PYTHON={old}" in done.stderr


def test_without_any_python_it_says_what_to_install(checkout: Path) -> None:
    done = run(checkout, "up")
    assert done.returncode == 2
    assert "apt install python3" in done.stderr


def test_ci_runs_what_a_person_runs() -> None:
    assert "exec ./run test" in (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert os.access(ROOT / "run", os.X_OK)
