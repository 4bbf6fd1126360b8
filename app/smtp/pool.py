"""The groups of one process: each thread keeps its own, by server, so that nothing is shared."""

import threading
import time

from app.smtp.connection import Server
from app.smtp.group import Group


class Pool:
    """Hands out one Group per thread and server; at most `size` servers per thread stay open."""

    def __init__(self, size: int = 16) -> None:
        self._size = size
        self._local = threading.local()
        self._lock = threading.Lock()
        self._all: set[Group] = set()

    def group(self, server: Server) -> Group:
        """Return this thread's group for `server`; closes those that stood idle or are too many.

        A changed password or host is another server: its old group goes with the idle ones.
        """
        groups = self._groups()
        group = groups.pop(server, None) or self._make(server)
        self._close_idle(groups)
        while len(groups) >= self._size:
            self._close(groups, next(iter(groups)))
        groups[server] = group  # dictionaries keep order: the one used last stands last
        return group

    def close_all(self) -> None:
        """Close the groups of every thread; call when no thread submits any more."""
        with self._lock:
            groups, self._all = self._all, set()
        for group in groups:
            group.close()
        self._local = threading.local()

    def _groups(self) -> dict[Server, Group]:
        groups: dict[Server, Group] | None = getattr(self._local, "groups", None)
        if groups is None:
            groups = self._local.groups = {}
        return groups

    def _make(self, server: Server) -> Group:
        group = Group(server)
        with self._lock:
            self._all.add(group)
        return group

    def _close_idle(self, groups: dict[Server, Group]) -> None:
        now = time.monotonic()
        for server in [s for s, g in groups.items() if now - g.last_used > s.max_idle_s]:
            self._close(groups, server)

    def _close(self, groups: dict[Server, Group], server: Server) -> None:
        group = groups.pop(server)
        with self._lock:
            self._all.discard(group)
        group.close()
