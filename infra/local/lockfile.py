"""Write requirements.lock from pyproject.toml: every hash, every platform, no URL."""

import shutil
import subprocess
import tomllib

from app.errors import DependencyUnavailable
from infra.local.places import ROOT


def lock(words: list[str]) -> int:
    """Compile requirements.lock with uv; words such as `--upgrade` go to it. Returns its code."""
    uv = shutil.which("uv")
    if uv is None:
        raise DependencyUnavailable(
            "The lock file was not written.",
            why="It is compiled by uv, which is not on PATH.",
            fix="pipx install uv, then ./run lock.",
        )
    return subprocess.run([uv, *arguments(), *words], cwd=ROOT, check=False).returncode


def arguments() -> list[str]:
    """Return uv's arguments: universal, hashed, and without a host's name in the file."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    silent = ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"]
    chosen = [word for group in groups for word in ("--group", group)]
    shape = ["--universal", "--generate-hashes", "-q", "-o", "requirements.lock"]
    return ["pip", "compile", "pyproject.toml", *shape, *silent, *chosen]
