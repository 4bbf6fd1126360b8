"""The attempt journal: what a process was about to do to which mail, on local disk.

One append-only file per process, locked while the process lives. Plain write(2), no fsync: it must
survive kill -9, not power loss. Each line ends with a newline; a torn last line is ignored.

    C <id> <id> ...             before a claim: these rows may become ours
    S <id> <fence>              before the final dot of DATA may leave
    R <id> <fence> <code> <text>    after the reply to the final dot

A start without a reply means: nobody knows. Only lines of open ids matter: `settled` says which are
recorded in the database, and a file that grew past its limit is rewritten with the open rest.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import DependencyUnavailable

_LIMIT_BYTES = 8 << 20
_SUFFIX = ".journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalContents:
    """What a dead process left: ids it claimed, (id, fence) it started, replies by (id, fence)."""

    claimed: frozenset[str]
    started: frozenset[tuple[str, int]]
    replied: dict[tuple[str, int], tuple[int, str]]


class Journal:
    """The journal of this process; any number of threads may write.

    `name` identifies the process in the database (claimed_by) and the file in `directory`.
    """

    def __init__(self, directory: Path, limit_bytes: int = _LIMIT_BYTES) -> None:
        self.name = f"{os.getpid()}-{os.urandom(6).hex()}"
        self.path = directory / f"{self.name}{_SUFFIX}"
        self._limit_bytes = self._rewrite_at = limit_bytes
        self._lock = threading.Lock()
        self._open: set[bytes] = set()
        self._size = 0
        self._fd = _create(self.path)

    def claim(self, ids: Iterable[str]) -> None:
        """Note that these rows may become ours; call before the claim is committed."""
        keys = [identifier.encode() for identifier in ids]
        with self._lock:
            self._append(b"C %b\n" % b" ".join(keys))
            self._open.update(keys)

    def write(self, lines: bytes) -> None:
        """Append whole lines; raises DependencyUnavailable, with the file unchanged, when it cannot.

        What the lines announce may happen only after this returned.
        """
        with self._lock:
            self._append(lines)

    def settled(self, ids: Iterable[str]) -> None:
        """Forget rows whose outcome is committed; rewrites the file when it has grown large."""
        with self._lock:
            self._open.difference_update(identifier.encode() for identifier in ids)
            if self._size > self._rewrite_at:
                self._rewrite()

    def close(self) -> None:
        """Release the lock; a journal without open rows removes itself."""
        with self._lock:
            if not self._open:
                self.path.unlink(missing_ok=True)
            os.close(self._fd)

    def _append(self, lines: bytes) -> None:
        try:
            _write_all(self._fd, lines)
        except OSError as error:
            # A torn line in the middle would swallow the next one: take the whole write back.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise _unwritable(self.path, error) from error
        self._size += len(lines)

    def _rewrite(self) -> None:
        """Replace the file by the lines of open rows; the new one is locked before it gets its name."""
        kept = _lines_of(self._open, self.path)
        fresh = self.path.with_suffix(".new")
        fd = _create(fresh)
        try:
            _write_all(fd, kept)
            fresh.rename(self.path)
        except OSError:
            # Rewriting only saves space: the old file stays good and is tried again later.
            fresh.unlink(missing_ok=True)
            os.close(fd)
            return
        os.close(self._fd)
        self._fd = fd
        self._size = len(kept)
        self._rewrite_at = max(self._limit_bytes, 2 * self._size)


def dead(directory: Path) -> Iterator[Path]:
    """Yield the journals whose process is gone; each stays locked by us until the next is asked for.

    The name of the dead process is the path's stem. Unlink the path when its rows are settled.
    """
    for path in sorted(directory.glob(f"*{_SUFFIX}")):
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if _is_abandoned(path, fd):
                yield path
        finally:
            os.close(fd)


def read(path: Path) -> JournalContents:
    """Return what the journal at `path` says; ignores a torn last line."""
    claimed: set[str] = set()
    started: set[tuple[str, int]] = set()
    replied: dict[tuple[str, int], tuple[int, str]] = {}
    data = path.read_bytes()
    for line in data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").split("\n"):
        match line.split(" ", 4):
            case ["C", *_]:
                claimed.update(line[2:].split())
            case ["S", identifier, fence] if fence.isdecimal():
                started.add((identifier, int(fence)))
            case ["R", identifier, fence, code, *text] if (fence + code).isdecimal():
                replied[identifier, int(fence)] = (int(code), "".join(text))
    return JournalContents(claimed=frozenset(claimed), started=frozenset(started), replied=replied)


def _create(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _is_abandoned(path: Path, fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A rewrite gave the name to another file after we opened this one: its process lives.
        return path.stat().st_ino == os.fstat(fd).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _lines_of(ids: set[bytes], path: Path) -> bytes:
    """Return the lines of open rows; reads line by line, or the heap would grow by the whole file."""
    with path.open("rb") as file:
        kept = [line for line in file if line[:1] in b"SR" and line.split(b" ", 2)[1] in ids]
    return b"".join([*[b"C %b\n" % key for key in sorted(ids)], *kept])


def _unwritable(path: Path, error: OSError) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"The attempt journal {path} cannot be written: {error.strerror}.",
        why="Without it a crash could send a mail twice, so nothing more is sent.",
        fix="Free disk space or correct the permissions of the state directory.",
    )
