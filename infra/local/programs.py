"""Foreign programs: what benchmarks measure against, and the mail servers the tests talk to.

Taken from the machine, otherwise from Debian packages unpacked beside the local stack's; what
cannot be had is absent, and tables and skipped tests say so.
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
_POSTFIX = ("postfix", "libicu72", "libnsl2", "libtirpc3", "libdb5.3")
_PACKAGES = {
    "smtp-sink": _POSTFIX,
    "smtp-source": _POSTFIX,
    "postfix": _POSTFIX,
    "dovecot": ("dovecot-core", "dovecot-imapd", "liblua5.4-0", "libsodium23", "libunwind8"),
    "swaks": ("swaks",),
    "wrk": ("wrk", "libluajit-5.1-2", "libluajit-5.1-common"),
}
# Where these packages keep libraries that the loader does not look for by itself.
_LIBRARIES = ("usr/lib/postfix", "usr/lib/dovecot", "usr/lib/dovecot/modules/old-stats")
_SYSTEM_FOLDERS = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_NO_LIBRARY = 127  # the exit code of the loader


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that runs here; `env` is what it needs beside our environment."""

    path: str
    env: Mapping[str, str] = field(default_factory=dict)

    def command(self, *words: object) -> list[str]:
        """Return the words that start it."""
        return [self.path, *(str(word) for word in words)]

    @property
    def root(self) -> Path:
        """The folder its package lies in: `/`, or where packages were unpacked."""
        return Path(self.path).resolve().parents[2]

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
    libraries = [*(f"{root}/{one}" for one in _LIBRARIES), debian.library_path()]
    return Program(path=str(Path(folder) / name), env={"LD_LIBRARY_PATH": ":".join(libraries)})


def _loads(program: Program) -> bool:
    """Tell whether its shared libraries are there; not every program knows its version."""
    command, env = program.command("--version"), program.environment
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    return done.returncode != _NO_LIBRARY


def python(module: str, *words: object) -> list[str]:
    """Return the command that runs one of our own modules."""
    return [sys.executable, "-m", module, *(str(word) for word in words)]
