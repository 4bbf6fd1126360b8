"""Ports on 127.0.0.1: the usual ones for `up`, remembered; free ones for throw-away stacks."""

import json
import random
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from app.errors import DependencyUnavailable

LOOPBACK = "127.0.0.1"

PREFERRED: Mapping[str, int] = {
    "postgres": 5432,
    "rabbitmq": 5672,
    "rabbitmq_console": 15672,
    "rabbitmq_metrics": 15692,
    "rabbitmq_cluster": 25672,
    "epmd": 4369,
    "redis": 6379,
    "inbox_smtp": 1025,
    "inbox_http": 8025,
    "inbound": 2525,
    "web": 8000,
    "tracking": 8001,
}

# Below the range that Linux hands to outgoing connections: nobody takes one of these between
# our look and the server's bind, except another launcher, which looks at random places too.
_THROWAWAY = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_answering(port: int) -> bool:
    """Tell whether something accepts connections on this port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def remembered(file: Path) -> dict[str, int]:
    """Return the ports of the kept stack: those of last time, moved by 1000 when busy."""
    last = json.loads(file.read_text()) if file.exists() else {}
    taken: set[int] = set()
    chosen = {}
    for name, preferred in PREFERRED.items():
        chosen[name] = _first_free(range(last.get(name, preferred), 65_536, 1_000), taken)
    file.write_text(json.dumps(chosen, indent=1))
    return chosen


def throwaway() -> dict[str, int]:
    """Return free ports for a stack that lives for one run."""
    taken: set[int] = set()
    return {name: _first_free(_shuffled(), taken) for name in PREFERRED}


def free_port() -> int:
    """Return one free port, at a random place."""
    return _first_free(_shuffled(), set())


def _shuffled() -> Iterator[int]:
    while True:
        yield random.choice(_THROWAWAY)  # noqa: S311 - spreads launchers apart, guards nothing


def _first_free(candidates: Iterable[int], taken: set[int]) -> int:
    for port in candidates:
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    raise DependencyUnavailable(
        "No free port was found.", fix="Stop what listens on 127.0.0.1, or ./run down."
    )
