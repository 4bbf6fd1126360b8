"""A steady load over HTTP: requests begin when they are due, whether or not others are answered.

wrk's connections wait for their answers and all begin at once, so that its p99 of a short run is
that of its own start. Here a request that had to wait for a connection has waited, too. One thread
per connection: good for some hundred requests a second.
"""

import contextlib
import http.client
import itertools
import threading
import time
from http import HTTPStatus

from app.errors import LedgerOff
from infra.load.wrk import Answered, Load

MOST_PER_S = 2_000


class _Run:
    """One run: the threads take the next request that is due, in order."""

    def __init__(self, load: Load, per_s: float) -> None:
        self._load = load
        self._per_s = per_s
        self._count = max(1, int(per_s * load.seconds))
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._ready = threading.Barrier(load.connections + 1)
        self._began = 0.0
        self.took_s: list[float] = []
        self.bad: list[str] = []

    def go(self) -> float:
        """Run to the end; return the seconds it took."""
        threads = [threading.Thread(target=self._work) for _ in range(self._load.connections)]
        for thread in threads:
            thread.start()
        self._began = time.monotonic()
        self._ready.wait()
        for thread in threads:
            thread.join()
        return time.monotonic() - self._began

    def _work(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._load.port, timeout=20)
        with contextlib.closing(connection):
            connection.connect()
            self._ready.wait()
            while (number := self._next()) < self._count:
                due = self._began + number / self._per_s
                time.sleep(max(0.0, due - time.monotonic()))
                self._ask(connection, number)
                self.took_s.append(time.monotonic() - due)

    def _next(self) -> int:
        with self._lock:
            return next(self._numbers)

    def _ask(self, connection: http.client.HTTPConnection, number: int) -> None:
        load = self._load
        path = load.paths[number % len(load.paths)]
        method = "POST" if load.body else "GET"
        try:
            connection.request(method, path, load.body or None, load.headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.bad.append(f"{type(error).__name__}: {error}")
            connection.close()  # the next request opens another
            return
        if answer.status >= HTTPStatus.BAD_REQUEST:
            self.bad.append(f"{answer.status} {said[:200]!r}")


def drive(load: Load, per_s: float) -> Answered:
    """Put `per_s` requests a second on the server; raises LedgerOff when an answer was an error."""
    run = _Run(load, per_s)
    seconds = run.go()
    if run.bad:
        raise LedgerOff("No latency: not every request was answered well.", why=run.bad[0])
    took = sorted(run.took_s)
    return Answered(
        requests=len(took),
        seconds=seconds,
        p50_ms=took[len(took) // 2] * 1000,
        p99_ms=took[len(took) * 99 // 100] * 1000,
        connections=load.connections,
    )
