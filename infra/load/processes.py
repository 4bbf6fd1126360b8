"""What processes cost, read from /proc: trees, memory, CPU, open files, who listens on a port."""

import os
from collections.abc import Iterator
from pathlib import Path

_MB = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"  # the state of a listening socket in /proc/net/tcp


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in _all():
        fields = _stat(int(entry.name))
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process tree, in steps of 10 ms; 0 when it is gone.

    Children that have ended count through the parent that waited for them, as PostgreSQL's
    sessions do, so a difference of two readings loses nothing but what was never waited for.
    """
    return sum(_ticks(_stat(member)) for member in tree(pid)) / _TICKS_PER_S


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return round(pages * _PAGE / _MB, 1)


def open_files(pid: int) -> int:
    """Return how many file descriptors a process holds; 0 when it is gone or not ours."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def listener(port: int) -> int | None:
    """Return the process that listens on a TCP port of this machine.

    None when nobody does, or when it is hidden: another user's, or in a container.
    """
    inodes = set(_listening_inodes(port))
    holders = [int(entry.name) for entry in _all() if inodes & _sockets(entry)]
    return min(holders, default=None)


def command_name(pid: int) -> str:
    """Return the short name of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _all() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; the name before may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def _ticks(fields: list[str] | None) -> int:
    """Return user and system ticks, own and of children that were waited for (proc(5), 14-17)."""
    return 0 if fields is None else sum(int(field) for field in fields[11:15])


def _listening_inodes(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _sockets(entry: Path) -> set[str]:
    """Return the inodes of a process's sockets; empty for processes that are not ours to see."""
    found = set()
    try:
        for descriptor in (entry / "fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        return set()
    return found
