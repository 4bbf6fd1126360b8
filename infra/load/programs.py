"""The foreign programs of the benchmark: smtp-sink and smtp-source (postfix), wrk, node.

Taken from the machine, otherwise from Debian packages unpacked beside the local stack's; what
cannot be had is absent, and the tables say so.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from app.errors import DependencyUnavailable
from infra.local import debian
from infra.local.terminal import say

# Each program's package; then the libraries of Debian 12 that a bare system may lack.
_PACKAGES = {
    "smtp-sink": ("postfix", "libicu72", "libnsl2", "libtirpc3", "libdb5.3"),
    "smtp-source": ("postfix", "libicu72", "libnsl2", "libtirpc3", "libdb5.3"),
    "wrk": ("wrk", "libluajit-5.1-2", "libluajit-5.1-common"),
}
_SYSTEM_FOLDERS = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_HELP = "usage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that runs here; `env` is what it needs beside our environment."""

    path: str
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: object) -> list[str]:
        """Return the words that start it."""
        return [self.path, *(str(word) for word in words)]

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment to start it with."""
        return {**os.environ, **self.env}


@cache
def find(name: str) -> Program | None:
    """Return the program, or None when this machine can neither run nor fetch it."""
    path = shutil.which(name, path=_SYSTEM_FOLDERS)
    if path:
        return Program(path=path)
    if name not in _PACKAGES or not debian.is_possible():
        return None
    try:
        found = _unpacked(name, _PACKAGES[name])
    except DependencyUnavailable as error:
        say(f"{name}: {error.why}")
        return None
    return found if _loads(found) else None


def _unpacked(name: str, packages: Sequence[str]) -> Program:
    root = debian.unpack(packages)
    folder = next(root / f for f in ("usr/sbin", "usr/bin") if (root / f / name).exists())
    libraries = f"{root}/usr/lib/postfix:{debian.library_path()}"
    return Program(path=str(Path(folder) / name), env={"LD_LIBRARY_PATH": libraries})


def _loads(program: Program) -> bool:
    """Tell whether its shared libraries are there: without arguments it says how it is used."""
    command, env = program.command(), program.environment
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return _HELP in (done.stdout + done.stderr).lower()


def python(module: str, *words: object) -> list[str]:
    """Return the command that runs one of our own modules."""
    return [sys.executable, "-m", module, *(str(word) for word in words)]
