"""Node's programs: installed privately below `.local`, from their own lock file."""

import shutil
import subprocess
from pathlib import Path

from infra.local.places import LOCAL, held
from infra.local.terminal import say


def install(source: Path, name: str) -> Path | None:
    """Return `.local/<name>` with the files of `source` and the modules its lock file names.

    None, and a word why, when that is not possible here.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        say(f"node or npm is not on PATH: {name} cannot be installed")
        return None
    with held(LOCAL / f"{name}.lock"):
        return _installed(source, LOCAL / name)


def _installed(source: Path, folder: Path) -> Path | None:
    lock = (source / "package-lock.json").read_bytes()
    stamp = folder / "installed-lock.json"
    folder.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        shutil.copy(path, folder / path.name)
    if stamp.exists() and stamp.read_bytes() == lock:
        return folder
    say(f"npm installs into .local/{folder.name}")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"npm could not install {folder.name}: {done.stderr.strip()[-300:]}")
        return None
    stamp.write_bytes(lock)
    return folder
