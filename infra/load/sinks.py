"""Where the mail of a run arrives and is counted: smtp-sink, or our own slower server.

Arrivals are counted here and nowhere else; neither sender is believed.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from infra.load.running import running, wait_for_port
from infra.local import programs
from infra.local.ports import free_port

_COUNTED = re.compile(rb"mesg=(\d+)")
_TAIL_BYTES = 400
_SETTLE_S = 0.3


class Sink(Protocol):
    """A running server that counts mails."""

    @property
    def name(self) -> str:
        """What program it is."""

    @property
    def port(self) -> int:
        """Where it listens on loopback."""

    @property
    def pid(self) -> int:
        """Its process."""

    def count(self) -> int:
        """Return how many mails have arrived."""


class PostfixSink:
    """Postfix's smtp-sink, which prints its counters as it goes (-c)."""

    name = "smtp-sink"

    def __init__(self, port: int, pid: int, output: Path) -> None:
        self.port = port
        self.pid = pid
        self._output = output

    def count(self) -> int:
        """Return how many mails have arrived."""
        with self._output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            found = _COUNTED.findall(file.read())
        return int(found[-1]) if found else 0


class OwnSink:
    """infra.load.slow_sink, which stamps every mail with its arrival."""

    name = "own sink (smtp-sink is not to be had: rates are those of a Python server)"

    def __init__(self, port: int, pid: int, stamps: Path) -> None:
        self.port = port
        self.pid = pid
        self._stamps = stamps
        self._seen_bytes = self._seen = 0

    def count(self) -> int:
        """Return how many mails have arrived."""
        if self._stamps.exists():
            with self._stamps.open("rb") as file:
                file.seek(self._seen_bytes)
                fresh = file.read()
            self._seen_bytes += len(fresh)
            self._seen += fresh.count(b"\n")
        return self._seen

    def arrivals(self) -> dict[int, float]:
        """Return the clock's seconds at which each numbered probe had arrived."""
        words = (line.split() for line in self._stamps.read_text().splitlines())
        return {int(number): float(at) for at, number in words if number != "-"}


@contextmanager
def fastest(folder: Path) -> Iterator[Sink]:
    """Run the fastest sink there is, on a free port."""
    program = programs.find("smtp-sink")
    if program is None:
        with stamping(folder) as own:
            yield own
        return
    port = free_port()
    output = folder / f"sink-{port}.log"
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    command = program.command(*user, "-c", "-m", 512, f"127.0.0.1:{port}", 1024)
    with running(command, output, env=program.environment) as process:
        wait_for_port(port, process)
        yield PostfixSink(port, process.pid, output)


@contextmanager
def stamping(folder: Path, delay_ms: float = 0) -> Iterator[OwnSink]:
    """Run our own sink, which answers `delay_ms` later and notes when each mail arrived."""
    port = free_port()
    stamps = folder / f"stamps-{port}"
    words = (port, delay_ms, stamps)
    command = programs.python("infra.load.slow_sink", *words)
    with running(command, folder / f"sink-{port}.log") as process:
        wait_for_port(port, process)
        yield OwnSink(port, process.pid, stamps)


def settled_count(sink: Sink) -> int:
    """Return the count once nothing more arrives for a moment: a doubled mail shall be seen."""
    before = -1
    while before != (now := sink.count()):
        before = now
        time.sleep(_SETTLE_S)
    return now
