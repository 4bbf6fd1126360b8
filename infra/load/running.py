"""Child processes of a benchmark: each in a session of its own, stopped by its own id at the end."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from app.errors import DependencyUnavailable
from infra.local.places import ROOT
from infra.local.ports import is_answering

Child = subprocess.Popen[bytes]

_STOPS = (signal.SIGTERM, signal.SIGINT)
_START_S = 120.0
_GRACE_S = 30.0
_POLL_S = 0.05
_TAIL_BYTES = 2_000


@contextmanager
def running(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Run a command for the time of the block; its output goes to `log`, its stdin is a pipe."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env=dict(os.environ if env is None else env),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def unwind_when_stopped() -> None:
    """Make SIGTERM and Ctrl-C end this process by SystemExit, so that each block ends what it made.

    Only the first counts: the launcher sends SIGTERM after the terminal has sent SIGINT.
    """
    for number in _STOPS:
        signal.signal(number, _unwind)


def _unwind(number: int, _frame: FrameType | None) -> None:
    for stop in _STOPS:
        signal.signal(stop, signal.SIG_IGN)
    raise SystemExit(128 + number)


def wait_for_port(port: int, process: Child) -> None:
    """Wait until `process` accepts connections; raises DependencyUnavailable when it never does."""
    wait_for(f"port {port}", lambda: is_answering(port), process)


def wait_for_line(log: Path, word: str, process: Child) -> None:
    """Wait until a line of `process` begins with `word`; raises DependencyUnavailable otherwise."""
    wait_for(f"{word!r} in {log.name}", lambda: first_words(log, word) is not None, process)


def first_words(log: Path, word: str) -> list[str] | None:
    """Return the words of the last line that begins with `word`, None when there is none."""
    lines = (line.split() for line in log.read_text(errors="replace").splitlines())
    return next((words for words in reversed(list(lines)) if words[:1] == [word]), None)


def wait_for(
    what: str, is_there: Callable[[], bool], process: Child, limit_s: float = _START_S
) -> None:
    """Wait for a condition while `process` lives; raises DependencyUnavailable otherwise."""
    deadline = time.monotonic() + limit_s
    while not is_there():
        if process.poll() is not None or time.monotonic() > deadline:
            raise DependencyUnavailable(
                f"{what} never came.",
                why=f"{process.args!r}: exit code {process.poll()}.",
                fix="Its log stands in the folder of the run.",
            )
        time.sleep(_POLL_S)


def tail(log: Path) -> str:
    """Return the end of a log."""
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace") if log.exists() else ""


def _stop(process: Child) -> None:
    """Ask the process to end; end its whole session when it does not."""
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
