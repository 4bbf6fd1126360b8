"""One hanging SMTP server must not take every thread of a worker: who may enter, and when.

A server that has answered lately may have all threads but one; one that has not may have a single
thread, which proves it. The last thread always stays free for somebody else's mail: a reply to a
final dot may take ten minutes (RFC 5321 4.5.3.2.6).
"""

import math
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from app.clock import monotonic_s

_PROVEN_FOR_S = 60.0
_STALLED_AFTER_S = 10.0


class _Passage:
    """One server: how many threads are inside, and when anything last moved there."""

    __slots__ = ("entered_at", "inside", "moved_at")

    def __init__(self) -> None:
        self.inside = 0
        self.entered_at = -math.inf
        self.moved_at = -math.inf


class Turnstile:
    """The passages of one worker process with `threads` threads; one stays for every server met."""

    def __init__(self, threads: int) -> None:
        self._width = max(1, threads - 1)
        self._passages: dict[Hashable, _Passage] = {}
        self._changed = threading.Condition()

    @contextmanager
    def passing(self, server: Hashable, patience_s: float) -> Iterator[bool]:
        """Enter for the time of the block; yields False when there is no room after `patience_s`.

        A stalled server refuses at once: nobody waits behind somebody who waits.
        """
        has_entered = self._enter(server, monotonic_s() + patience_s)
        try:
            yield has_entered
        finally:
            if has_entered:
                self._leave(server)

    def has_room(self, server: Hashable) -> bool:
        """Tell whether a thread may enter at once."""
        with self._changed:
            return self._has_room(self._passages.setdefault(server, _Passage()))

    def moved(self, server: Hashable) -> None:
        """Note that the server has answered."""
        with self._changed:
            self._passages[server].moved_at = monotonic_s()
            self._changed.notify_all()

    def _enter(self, server: Hashable, until_s: float) -> bool:
        with self._changed:
            passage = self._passages.setdefault(server, _Passage())
            while not self._has_room(passage):
                left_s = until_s - monotonic_s()
                if left_s <= 0 or self._is_stalled(passage):
                    return False
                self._changed.wait(min(left_s, 0.5))
            passage.inside += 1
            passage.entered_at = monotonic_s()
            return True

    def _leave(self, server: Hashable) -> None:
        with self._changed:
            self._passages[server].inside -= 1
            self._changed.notify_all()

    def _has_room(self, passage: _Passage) -> bool:
        is_proven = monotonic_s() - passage.moved_at < _PROVEN_FOR_S
        return passage.inside < (self._width if is_proven else 1)

    def _is_stalled(self, passage: _Passage) -> bool:
        return monotonic_s() - max(passage.moved_at, passage.entered_at) > _STALLED_AFTER_S
