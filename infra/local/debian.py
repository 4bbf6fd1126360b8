"""Debian packages unpacked into `.local/opt`, not installed: needs apt-get and dpkg, no root."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from app.errors import DependencyUnavailable
from infra.local.places import LOCAL, held
from infra.local.terminal import say

OPT = LOCAL / "opt"


def is_possible() -> bool:
    """Tell whether this machine can fetch and unpack Debian packages."""
    return bool(shutil.which("apt-get") and shutil.which("dpkg"))


def unpack(packages: Sequence[str]) -> Path:
    """Return the folder in which these packages are unpacked, fetching those that are absent.

    Two launchers may call it at once: one fetches, the other waits (two `apt-get update` on one
    list folder fail).
    """
    with held(LOCAL / "opt.lock"):
        stamp = OPT / ".unpacked"
        present = set(stamp.read_text().split()) if stamp.exists() else set()
        missing = [name for name in packages if name not in present]
        if missing:
            say(f"fetching {len(missing)} Debian packages, for {missing[0]}")
            _fetch(missing)
            stamp.write_text("\n".join(sorted(present | set(packages))))
    return OPT


def library_path() -> str:
    """Return the folders of the unpacked shared libraries, as LD_LIBRARY_PATH wants them."""
    return ":".join(str(path) for path in sorted(OPT.glob("usr/lib/*-linux-gnu*")))


def _fetch(names: Sequence[str]) -> None:
    """Download and unpack, with lists and archives of our own so that no lock or root is needed."""
    work = LOCAL / "apt"
    for folder in ("lists/partial", "archives/partial", "debs"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    OPT.mkdir(exist_ok=True)
    options = {
        "Dir::State::lists": f"{work}/lists",
        "Dir::Cache": str(work),
        "Dir::Cache::archives": f"{work}/archives",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
    try:
        _call([*apt, "download", *names], work / "debs")
    except DependencyUnavailable:  # no lists yet, or so old that they name superseded packages
        _call([*apt, "update"], work)
        _call([*apt, "download", *names], work / "debs")
    for package in sorted((work / "debs").glob("*.deb")):
        _call(["dpkg", "-x", str(package), str(OPT)], work)
        package.unlink()


def _call(command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DependencyUnavailable(
            "Debian packages could not be fetched.",
            why=f"{' '.join(command[-3:])}: {done.stderr.strip()[-500:]}",
            fix="Check the network and /etc/apt/sources.list, remove .local/apt, and try again.",
        )
