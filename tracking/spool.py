"""The hits of one process on local disk, from before the answer until RabbitMQ has confirmed them.

A line is written with one plain write(2) and no fsync: it survives kill -9, not the loss of power.
Lines go to the current segment; a sealed segment never changes and is deleted when all its lines
are confirmed. A crash between confirm and delete repeats lines; their event ids make that harmless.

    <name>.lock          locked (flock) while its process lives
    <name>.<number>.hits its segments, oldest first

A living process adopts the segments of dead ones by renaming them to its own.
"""

import contextlib
import fcntl
import os
import secrets
import threading
from collections import deque
from pathlib import Path

from app.clock import monotonic_s
from app.log import Event, logger
from app.metrics import HITS_UNSPOOLED

SEGMENT_BYTES = 8 * 1024 * 1024
_LOG_EVERY_S = 10.0


class Spool:
    """The open spool of this process. `append` may be called by any thread, the rest by one.

    Raises OSError when its directory cannot be used at all.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._name, self._lock_fd = _claim_name(directory)
        self._number = 0
        self._fd = -1
        self._path = directory
        self._size = 0
        self._sealed: deque[tuple[Path, int]] = deque()
        self._next_log_s = 0.0

    def append(self, line: bytes) -> bool:
        """Write one line; False when the disk did not take it, which is logged and counted."""
        with self._lock:
            try:
                self._write(line)
            except OSError as error:
                self._report(error)
                return False
        return True

    def _write(self, line: bytes) -> None:
        if self._fd >= 0 and self._size + len(line) > self._segment_bytes:
            self._seal()
        if self._fd < 0:
            self._open_segment()
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(self._fd, self._size)  # half a line would spoil the next one
            raise OSError(f"only {written} of {len(line)} bytes were written")
        self._size += written

    def _open_segment(self) -> None:
        path = self._next_path()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._fd = os.open(path, flags, 0o600)
        self._path, self._size = path, 0

    def _next_path(self) -> Path:
        self._number += 1
        return self._directory / f"{self._name}.{self._number:010d}.hits"

    def _seal(self) -> None:
        os.close(self._fd)
        self._fd = -1
        self._sealed.append((self._path, self._size))
        self._size = 0

    def _report(self, error: OSError) -> None:
        HITS_UNSPOOLED.inc()
        if monotonic_s() < self._next_log_s:
            return
        self._next_log_s = monotonic_s() + _LOG_EVERY_S
        with contextlib.suppress(OSError):  # the log may go to the same full disk
            logger().error(
                Event.SPOOL_FAILED,
                error=str(error),
                directory=str(self._directory),
                fix="Free disk space; until then hits are kept in memory and lost by a crash.",
            )

    def seal(self) -> None:
        """Seal the current segment if it has lines and no older one is still waiting."""
        with self._lock:
            if not self._sealed and self._size:
                self._seal()

    def oldest(self) -> Path | None:
        """Return the oldest sealed segment."""
        with self._lock:
            return self._sealed[0][0] if self._sealed else None

    def delete_oldest(self) -> None:
        """Delete the oldest sealed segment: all its lines are confirmed."""
        with self._lock:
            path, _ = self._sealed.popleft()
        path.unlink(missing_ok=True)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of lines that are not confirmed yet."""
        with self._lock:
            return self._size + sum(size for _, size in self._sealed)

    def adopt(self) -> int:
        """Take over the segments of dead processes; return how many."""
        locks = sorted(self._directory.glob("*.lock"))
        return sum(self._adopt(path) for path in locks if path.stem != self._name)

    def _adopt(self, lock: Path) -> int:
        fd = _try_lock(lock)
        if fd is None:
            return 0
        try:
            segments = sorted(self._directory.glob(f"{lock.stem}.*.hits"))
            for segment in segments:
                self._take(segment)
            lock.unlink(missing_ok=True)
        finally:
            os.close(fd)
        if segments:
            logger().info(Event.SPOOL_ADOPTED, segments=len(segments), owner=lock.stem)
        return len(segments)

    def _take(self, segment: Path) -> None:
        with self._lock:
            mine = self._next_path()
            segment.rename(mine)
            self._sealed.append((mine, mine.stat().st_size))

    def close(self) -> None:
        """Let go of the files; what still waits is adopted by the next process."""
        with self._lock:
            if self._fd >= 0:
                self._seal()
            if not self._sealed:
                (self._directory / f"{self._name}.lock").unlink(missing_ok=True)
            os.close(self._lock_fd)

    def forget(self) -> None:
        """Close the descriptors a fork inherited: files and lock stay the parent's."""
        if self._fd >= 0:
            os.close(self._fd)
        os.close(self._lock_fd)


def _claim_name(directory: Path) -> tuple[str, int]:
    """Return a name of this process and the descriptor that holds its lock."""
    while True:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        path = directory / f"{name}.lock"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        # Between the two calls somebody may adopt, and delete, a file nobody has locked yet.
        fd = _try_lock(path)
        if fd is not None and path.exists():
            return name, fd
        if fd is not None:
            os.close(fd)


def _try_lock(path: Path) -> int | None:
    """Return a descriptor with the lock of `path`; None when its process lives or it is gone."""
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
