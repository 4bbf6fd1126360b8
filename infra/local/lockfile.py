"""Write the lock files from pyproject.toml: every hash, every platform, no URL.

requirements.lock               everything a checkout needs, tests and local services included
infra/docker/requirements.lock  the part of it that runs in production
"""

import shutil
import subprocess
import tomllib

from app.errors import DependencyUnavailable
from infra.local.places import ROOT

CHECKOUT_LOCK = ROOT / "requirements.lock"
IMAGE_LOCK = ROOT / "infra/docker/requirements.lock"

_SHAPE = ("--universal", "--generate-hashes", "--quiet")
_NO_HOST = ("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate")


def lock(words: list[str]) -> int:
    """Compile both lock files with uv; words such as `--upgrade` go to the first. Returns a code."""
    uv = shutil.which("uv")
    if uv is None:
        raise DependencyUnavailable(
            "The lock files were not written.",
            why="They are compiled by uv, which is not on PATH.",
            fix="pipx install uv, then ./run lock.",
        )
    for arguments in (checkout_arguments(words), image_arguments()):
        code = subprocess.run([uv, "pip", "compile", *arguments], cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


def checkout_arguments(words: list[str]) -> list[str]:
    """Return uv's arguments for the checkout: the project with all its dependency groups."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    chosen = [word for group in groups for word in ("--group", group)]
    target = ["--output-file", str(CHECKOUT_LOCK.relative_to(ROOT))]
    return ["pyproject.toml", *_SHAPE, *_NO_HOST, *chosen, *target, *words]


def image_arguments() -> list[str]:
    """Return uv's arguments for the image: the project alone, at the checkout's versions."""
    target = ["--output-file", str(IMAGE_LOCK.relative_to(ROOT))]
    versions = ["--constraints", str(CHECKOUT_LOCK.relative_to(ROOT))]
    return ["pyproject.toml", *_SHAPE, *_NO_HOST, *versions, *target]
