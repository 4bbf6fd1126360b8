"""Where things of the local stack live: one folder per stack, so that stacks run side by side.

.local/opt       Debian packages, unpacked once for all stacks
.local/up        the stack of `./run up`; its data is kept
.local/demo      the stack of `./run demo`; thrown away
.local/test-PID  one per `./run test`; thrown away, its logs stay when it failed
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import Conflict
from infra.local.terminal import say

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder of one stack: data, logs, passwords and what is running."""

    root: Path

    @property
    def logs(self) -> Path:
        """One log file per child process."""
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """The application's local disk: attempt journals and the tracking spool."""
        return self.root / "state"

    @property
    def running(self) -> Path:
        """What runs here (URLs, pids), for `status`; present while a launcher lives."""
        return self.root / "running.json"

    def folder(self, name: str) -> Path:
        """Return the folder `name` of this stack, made when absent."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def place(name: str) -> Place:
    """Return the place of the stack called `name`, with its folders made."""
    found = Place(root=LOCAL / name)
    found.folder("logs")
    found.folder("state")
    return found


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, waiting for it; the kernel frees it when we die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"waiting for another launcher ({path.name})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def claimed(stack: Place) -> Iterator[None]:
    """Own a stack for the time of the block; raises Conflict when a launcher owns it already."""
    with (stack.root / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"A stack is running in {stack.root} already.",
                why="Two launchers cannot share one data folder.",
                fix="See ./run status, or stop it with ./run down.",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            stack.running.unlink(missing_ok=True)


def is_claimed(stack: Place) -> bool:
    """Tell whether a living launcher owns this stack."""
    lock = stack.root / "lock"
    if not lock.exists():
        return False
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def owner(stack: Place) -> int | None:
    """Return the process id of the launcher that owns this stack, None when nobody does."""
    return int((stack.root / "lock").read_text()) if is_claimed(stack) else None


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, from its first byte on; replaces it in one step."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def password(stack: Place) -> str:
    """Return the password of this stack's services: random, made once, readable by us alone."""
    file = stack.root / "password"
    if not file.exists():
        write_private(file, secrets.token_hex(16))
    return file.read_text()


def remember_running(stack: Place, facts: dict[str, object]) -> None:
    """Write what runs here, for `status` and `mailqueue`; it names URLs with passwords."""
    write_private(stack.running, json.dumps(facts, indent=1))


def read_running(stack: Place) -> dict[str, object] | None:
    """Return what runs here, or None when no launcher lives."""
    if not is_claimed(stack) or not stack.running.exists():
        return None
    facts: dict[str, object] = json.loads(stack.running.read_text())
    return facts
