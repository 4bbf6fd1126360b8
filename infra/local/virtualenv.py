"""Make or refresh `.venv` from requirements.lock, then hand over to the launcher inside it.

The project itself is not installed: it runs from the checkout, so no build tool is fetched outside
the lock file and an edit works at once. `.venv/bin/mailqueue` is a three-line script for the same
reason: an editable install would build a wheel with an unhashed setuptools.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.errors import DependencyUnavailable, MailqueueError
from infra.local import debian
from infra.local.places import LOCAL, ROOT, held
from infra.local.terminal import complain, say

VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"

_DEBIAN_WHEELS = Path("/usr/share/python-wheels")

_CONSOLE_SCRIPT = """#!/bin/sh
# Runs the checkout this .venv belongs to, from any folder.
root=$(cd -- "$(dirname -- "$0")/../.." && pwd)
PYTHONPATH="$root" exec "$root/.venv/bin/python" -m app "$@"
"""


def stamp_of(lock: Path) -> str:
    """Return what a finished .venv was made of: the lock file and the Python that made it."""
    digest = hashlib.sha256(lock.read_bytes())
    digest.update(f"{sys.version} {sys.base_prefix}".encode())
    return digest.hexdigest()


def is_fresh(venv: Path, lock: Path) -> bool:
    """Tell whether `venv` was finished from this lock file by this Python."""
    stamp = venv / "stamp"
    return stamp.exists() and stamp.read_text() == stamp_of(lock)


def refresh(venv: Path = VENV, lock: Path = LOCK) -> None:
    """Make `venv` agree with `lock`; safe when several launchers start at the same moment."""
    if is_fresh(venv, lock):
        return
    with held(LOCAL / "venv.lock"):
        if is_fresh(venv, lock):
            return
        say(f"installing {lock.name} into {venv.name}")
        _install(venv, lock)
        write_console_script(venv)
        (venv / "stamp").write_text(stamp_of(lock))


def write_console_script(venv: Path) -> None:
    """Put the `mailqueue` command into `venv`."""
    script = venv / "bin" / "mailqueue"
    script.write_text(_CONSOLE_SCRIPT)
    script.chmod(0o755)


def _install(venv: Path, lock: Path) -> None:
    if not _is_of_this_python(venv):
        shutil.rmtree(venv, ignore_errors=True)
    uv = shutil.which("uv")
    if uv:
        _call([uv, "venv", "-q", "--allow-existing", "--python", sys.executable, str(venv)])
        python = str(venv / "bin/python")
        _call([uv, "pip", "sync", "-q", "--require-hashes", "--python", python, str(lock)])
        return
    options = ["-q", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    _call([*_pip(venv), "install", *options, "-r", str(lock)])


def _is_of_this_python(venv: Path) -> bool:
    """Tell whether `venv` exists and was made by this very Python."""
    configuration = venv / "pyvenv.cfg"
    if not configuration.exists():
        return False
    lines = dict(line.split(" = ", 1) for line in configuration.read_text().splitlines())
    version = lines.get("version") or lines.get("version_info")  # venv's word, uv's word
    home = Path(lines.get("home", "/")).resolve()
    ours = ".".join(map(str, sys.version_info[:3]))
    return version == ours and home.is_relative_to(Path(sys.base_prefix).resolve())


def _pip(venv: Path) -> list[str]:
    """Make `venv` and return the command of a pip that installs into it."""
    python = str(venv / "bin/python")
    if importlib.util.find_spec("ensurepip"):
        _call([sys.executable, "-m", "venv", str(venv)])
        return [python, "-m", "pip"]
    wheel = pip_wheel((_DEBIAN_WHEELS, debian.OPT / _DEBIAN_WHEELS.relative_to("/")))
    _call([sys.executable, "-m", "venv", "--without-pip", str(venv)])
    return [python, f"{wheel}/pip"]


def pip_wheel(folders: Sequence[Path]) -> Path:
    """Return a pip wheel, which runs without being installed, from the first folder with one.

    A bare Debian has Python without ensurepip; its package python3-pip-whl has the wheel and is
    unpacked when the machine lacks it. Raises DependencyUnavailable with the remedies.
    """
    found = _wheels(folders)
    if not found and debian.is_possible():
        debian.unpack(("python3-pip-whl",))
        found = _wheels(folders)
    if found:
        return found[0]
    raise DependencyUnavailable(
        "The Python environment cannot be made.",
        why=f"{sys.executable} has no ensurepip, and no pip was found.",
        fix="Install it (Debian: apt update && apt install python3-venv), or put uv on PATH.",
    )


def _wheels(folders: Sequence[Path]) -> list[Path]:
    return [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))]


def _call(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode:
        raise DependencyUnavailable(
            "The Python environment could not be made.",
            why=f"This command failed: {' '.join(command)}",
            fix="Read its message above; the next ./run goes on from here.",
        )


def main() -> None:
    """Refresh `.venv` and become the launcher that runs in it."""
    try:
        refresh()
    except MailqueueError as error:
        complain(error)
        sys.exit(1)
    python = str(VENV / "bin/python")
    os.execv(python, [python, "-m", "infra.local", *sys.argv[1:]])


if __name__ == "__main__":
    main()
