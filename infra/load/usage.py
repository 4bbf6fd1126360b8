"""Who spent how much CPU on a run: our processes, the peer's, the services, the sink."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from infra.load import processes

# What the process behind a service's port must be; behind docker-proxy it cannot be seen.
_PROGRAMS = {
    "postgres": ("DATABASE_URL", ("postgres", "postmaster")),
    "rabbitmq": ("RABBITMQ_URL", ("beam",)),
    "redis": ("REDIS_URL", ("redis-server", "valkey-server")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """CPU milliseconds per mail or request, by who spent it."""

    by_name: Mapping[str, float]

    def of(self, *names: str) -> float:
        """Return what these spent together; an unknown name spent nothing."""
        return sum(self.by_name.get(name, 0.0) for name in names)

    @property
    def total(self) -> float:
        """All but the sink and the load generator, which are no part of any system."""
        return sum(ms for name, ms in self.by_name.items() if name not in {"sink", "load"})


def service_pids() -> dict[str, int]:
    """Return the root process of each service that runs on this machine in our sight."""
    found = {}
    for name, (variable, programs) in _PROGRAMS.items():
        parts = urlsplit(os.environ.get(variable, ""))
        pid = processes.listener(parts.port) if parts.port else None
        if pid is not None and processes.command_name(pid).startswith(programs):
            found[name] = pid
    return found


class Meter:
    """CPU of named process trees between its making and `spent`; processes must run already."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids) | service_pids()
        self._began = self._read()

    def spent(self, items: int) -> Spent:
        """Return the milliseconds per item since the meter was made."""
        now = self._read()
        each = {name: (now[name] - self._began[name]) * 1000 / items for name in now}
        return Spent(by_name={name: round(ms, 4) for name, ms in each.items()})

    def _read(self) -> dict[str, float]:
        return {name: processes.cpu_s(pid) for name, pid in self._pids.items()}
