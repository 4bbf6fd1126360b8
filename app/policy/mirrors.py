"""Who remembers the send epoch outside of PostgreSQL: this host's disk, and Redis.

A mirror may forget (a new host, a wiped Redis): then it says nothing. It must never invent, so it
keeps one number for each lineage of databases. Writing is best effort; a mirror that is away
keeps nobody from sending.
"""

import contextlib
import os
import threading
from pathlib import Path
from typing import Protocol
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_TIMEOUT_S = 0.5
# Only ever up, whoever comes last.
_RAISE = """
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1])
end"""


class Mirror(Protocol):
    """Remembers the highest counter of each lineage. `witness` is its name in a sentence."""

    witness: str

    def remembered(self, lineage: UUID) -> int:
        """Return the highest counter seen; 0 when it knows nothing."""

    def remember(self, lineage: UUID, counter: int) -> None:
        """Keep `counter` unless a higher one is known."""

    def close(self) -> None:
        """Let go of what is open."""


class DiskMirror:
    """One small file for each lineage below the state directory of this host."""

    witness = "this host's state directory"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remembered(self, lineage: UUID) -> int:
        """Return the highest counter this host saw."""
        try:
            return int((self._folder / lineage.hex).read_text())
        except (OSError, ValueError):
            return 0

    def remember(self, lineage: UUID, counter: int) -> None:
        """Replace the file as a whole; a full disk forgets quietly (the journal says so aloud)."""
        if counter <= self.remembered(lineage):
            return
        draft = self._folder / f"{lineage.hex}.{os.getpid()}.{threading.get_ident()}"
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(str(counter))
            draft.replace(self._folder / lineage.hex)

    def close(self) -> None:
        """Nothing is open."""


class RedisMirror:
    """One key for each lineage, shared by all hosts."""

    witness = "Redis"

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        self._raise = self._redis.register_script(_RAISE)

    def remembered(self, lineage: UUID) -> int:
        """Return the highest counter any host told; 0 while Redis is away."""
        try:
            return int(self._redis.get(_key(lineage)) or 0)
        except redis.RedisError:
            return 0

    def remember(self, lineage: UUID, counter: int) -> None:
        """Tell Redis, when it answers."""
        with contextlib.suppress(redis.RedisError):
            self._raise(keys=[_key(lineage)], args=[counter])

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()


def _key(lineage: UUID) -> str:
    return f"epoch:{lineage}"
