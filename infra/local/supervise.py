"""Child processes that live and die together.

Each child gets a session of its own, so that Ctrl-C reaches only the launcher, which then stops
the children in order: the highest tier first. A child that dies by itself stops all the others and
the end of its log is shown. Should the launcher be killed, the kernel signals the children
(PR_SET_PDEATHSIG), which is why they are started from the main thread only: the signal is tied to
the thread that forked.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Self

from app.errors import DependencyUnavailable, MailqueueError
from infra.local.terminal import complain, say

PROCESSES_TIER = 2
SERVICES_TIER = 1
EPMD_TIER = 0

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.05
_TAIL_LINES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The user and group a child runs as."""

    user: int
    group: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What to start and how to stop it. `env` is the child's whole environment (None: ours)."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    runs_as: Credentials | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 30
    tier: int = PROCESSES_TIER


@dataclass(slots=True)
class Child:
    """A started process and where it logs (None: on our terminal)."""

    process: Process
    popen: subprocess.Popen[bytes]
    log: Path | None

    @property
    def name(self) -> str:
        """The process's name."""
        return self.process.name

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL goes to the child's whole group."""
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL and self.log:
                os.killpg(self.popen.pid, number)
            else:
                self.popen.send_signal(number)

    def tail(self) -> str:
        """Return the end of its log."""
        if self.log is None:
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


class StopAsked(Exception):
    """Ctrl-C, SIGTERM or SIGHUP arrived while something was waited for."""


class ChildDied(MailqueueError):
    """A child ended by itself."""

    code = "child_died"

    def __init__(self, child: Child) -> None:
        super().__init__(
            f"{child.name} ended by itself with exit code {child.popen.returncode}.",
            why=f"The end of {child.log}:\n{child.tail()}",
            fix="Everything else was stopped.",
        )


@dataclass(slots=True)
class Supervisor:
    """Starts children, notices the first that dies, and stops them all when its block ends."""

    logs: Path
    children: list[Child] = field(default_factory=list)
    _asked: int = 0
    _previous: dict[signal.Signals, object] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        for old in (*self.logs.glob("*.log"), restart_request(self.logs)):
            old.unlink(missing_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal() returned it

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked += 1
        if self._asked > 1:
            for child in self.children:
                child.signal(signal.SIGKILL)

    def start(self, process: Process) -> Child:
        """Start a process that logs into its own file, in a session of its own."""
        log = self.logs / f"{process.name}.log"
        with log.open("ab") as output:
            child = Child(process, _spawn(process, output), log)
        self.children.append(child)
        return child

    def complete(self, process: Process) -> int:
        """Run a process on our terminal to its end and return its exit code.

        It stays in our foreground group (a debugger may read the keyboard). Raises ChildDied when
        one of the others dies meanwhile, StopAsked on Ctrl-C, after it ended or was killed.
        """
        child = Child(process, _spawn(process, None), None)
        try:
            while child.is_alive:
                self.check()
                self.obey()
                time.sleep(_POLL_S)
        except (StopAsked, ChildDied):
            self._end([child])
            raise
        return child.popen.returncode

    def wait_until(self, child: Child, is_ready: Callable[[], bool], limit_s: float) -> None:
        """Wait until `is_ready()`; an OSError counts as not yet. Raises when `limit_s` is over."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(OSError):
                if is_ready():
                    return
            time.sleep(_POLL_S)
        raise DependencyUnavailable(
            f"{child.name} was not ready after {limit_s:.0f} s.",
            why=f"The end of {child.log}:\n{child.tail()}",
            fix="./run doctor names what is missing.",
        )

    def check(self) -> None:
        """Raise StopAsked after Ctrl-C, ChildDied when a child has ended."""
        if self._asked:
            raise StopAsked
        for child in self.children:
            if not child.is_alive:
                raise ChildDied(child)

    def watch(self) -> None:
        """Wait for Ctrl-C, or raise ChildDied."""
        with contextlib.suppress(StopAsked):
            while True:
                self.check()
                self.obey()
                time.sleep(_POLL_S * 4)

    def obey(self) -> None:
        """Restart the child that `./run restart` has named in a file beside our logs."""
        request = restart_request(self.logs)
        if not request.exists():
            return
        name, number = request.read_text().split()
        for child in [child for child in self.children if child.name == name]:
            say(f"restarting {name} ({number})")
            self.children.remove(child)
            child.signal(signal.Signals[number])
            self._end([child])
            self.start(child.process)
        request.unlink()

    def stop(self) -> None:
        """Stop all children, tier by tier from the top; a second Ctrl-C kills what is left."""
        for tier in sorted({child.process.tier for child in self.children}, reverse=True):
            self._end([child for child in self.children if child.process.tier == tier])
        self.children.clear()

    def _end(self, children: Sequence[Child]) -> None:
        """Signal these children at once, wait for each, kill those that outlive their grace."""
        deadlines = {}
        for child in children:
            child.signal(child.process.stop_signal)
            deadlines[id(child)] = time.monotonic() + child.process.grace_s
        for child in children:
            while child.is_alive and time.monotonic() < deadlines[id(child)] and self._asked < 2:
                time.sleep(_POLL_S)
            if child.is_alive:
                say(f"{child.name} was killed: it did not stop in time")
            child.signal(signal.SIGKILL)  # also what it may have left behind in its group
            child.popen.wait()


def restart_request(logs: Path) -> Path:
    """Return the file that asks a supervisor to restart a child: `NAME SIGTERM` or `... SIGKILL`."""
    return logs / "restart"


def run(processes: Sequence[Process], logs: Path) -> int:
    """Run processes until Ctrl-C (0) or until one dies (1, its log's end on the terminal)."""
    with Supervisor(logs) as supervisor:
        try:
            for process in processes:
                supervisor.start(process)
            supervisor.watch()
        except ChildDied as death:
            complain(death)
            return 1
    return 0


def _spawn(process: Process, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Children are started from the main thread: PR_SET_PDEATHSIG.")
    return subprocess.Popen(
        list(process.command),
        env=process.env,
        cwd=process.cwd,
        stdin=subprocess.DEVNULL if output else None,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=output is not None,
        preexec_fn=_die_with(os.getpid(), process.stop_signal),  # noqa: PLW1509 - no thread here
        user=process.runs_as.user if process.runs_as else None,
        group=process.runs_as.group if process.runs_as else None,
        extra_groups=[] if process.runs_as else None,
    )


def _die_with(launcher: int, stop_signal: signal.Signals) -> Callable[[], None]:
    """Return what the fork runs before exec, so that it never outlives the launcher."""
    # A shell script cannot pass SIGKILL on to what it started: it gets SIGTERM instead.
    number = signal.SIGTERM if stop_signal is signal.SIGKILL else stop_signal
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def before_exec() -> None:
        if prctl is None:
            return
        prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != launcher:
            os._exit(1)

    return before_exec
