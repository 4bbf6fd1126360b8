"""A Redis of one test's own, to be killed, wiped and started again."""

import contextlib
import subprocess
import time
from pathlib import Path

import redis as client

from infra.local import ports, redis
from infra.local.places import Place


class OwnRedis:
    """One server process with an append-only file, as in production."""

    def __init__(self, root: Path) -> None:
        place = Place(root=root)
        self._port = ports.throwaway()["redis"]
        self._process = redis.prepare(place, self._port, "yes")
        self._log = root / "redis.log"
        self._popen: subprocess.Popen[bytes] | None = None
        self.url = redis.url(self._port)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                self._process.command, env=self._process.env, stdout=log, stderr=log
            )
        ends_at = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < ends_at, self._log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
            self._popen = None

    def wipe(self) -> None:
        """FLUSHALL."""
        with contextlib.closing(client.Redis.from_url(self.url)) as connection:
            connection.flushall()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return redis.is_ready(self._port)
        return False
