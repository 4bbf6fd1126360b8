"""Hosts of a benchmark: network namespaces, each joined to this machine by a pair of interfaces.

A host has a network stack and an address of its own, but the way to servers' ports on 127.0.0.1
leads over the pair to this machine. So each URL and each SMTP account is right on a host as it
stands, and no service listens anywhere but on loopback. The ports that Linux hands out stay the
host's own: pika joins two sockets there.
"""

import contextlib
import ipaddress
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import DependencyUnavailable
from infra.local import programs
from infra.local.places import ROOT
from infra.local.ports import LOOPBACK

_ADDRESSES = ipaddress.IPv4Network("198.18.0.0/15")  # RFC 2544: for benchmarks, used by nobody
_SERVERS = "1-32767"  # below the ports that Linux hands out; the bench's servers are all there
_JOIN = """\
netns add {name}
link add {name} type veth peer name eth0 netns {name}
address add {here}/30 dev {name}
link set {name} up
-netns {name} address add {there}/30 dev eth0
-netns {name} link set eth0 up
-netns {name} link set lo up
-netns {name} route add {loopback} via {here} table 1
-netns {name} rule add pref 1 to {loopback} ipproto tcp dport {servers} lookup 1
-netns {name} rule add pref 2 lookup local
-netns {name} rule delete pref 0"""
# Linux drops loopback addresses that come from outside, unless told otherwise (its ip-sysctl).
_TAKE_HERE = "echo 1 >/proc/sys/net/ipv4/conf/{name}/route_localnet"
_TAKE_THERE = """\
cd /proc/sys/net/ipv4/conf
echo 0 | tee all/rp_filter >eth0/rp_filter
echo 1 | tee eth0/accept_local >eth0/route_localnet"""
_PART = ("link delete {name}", "netns delete {name}")
_SAID = 300  # characters
_ASK_SERVICES = (("migrate", "--check"), ("doctor", "--only", "rabbitmq", "--only", "redis"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Where processes run: in a network namespace, or (None) in that of this machine."""

    namespace: str | None = None

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the words that run `words` there; the process keeps the id it was started with."""
        if self.namespace is None:
            return list(words)
        return [*_ip_command("netns exec"), self.namespace, *words]


HERE = Host()


@contextmanager
def joined(count: int) -> Iterator[tuple[Host, ...]]:
    """Make hosts for the time of the block.

    Raises DependencyUnavailable where they are not to be had: without root, Linux or iproute2.
    """
    with contextlib.ExitStack() as stack:
        names = (f"mq-{os.getpid()}-{number}" for number in range(1, count + 1))
        yield tuple(stack.enter_context(_host(name)) for name in names)


def require_services(host: Host) -> None:
    """Ask PostgreSQL, RabbitMQ and Redis from a host; raises DependencyUnavailable if one refuses.

    Those that the benchmark starts take a host's word; those of somebody else may not.
    """
    for words in _ASK_SERVICES:
        _run(host.command(programs.python("app", *words)))


@contextmanager
def _host(name: str) -> Iterator[Host]:
    here, there = _free_network().hosts()
    facts = {"name": name, "here": here, "there": there, "loopback": LOOPBACK}
    host = Host(namespace=name)
    try:
        for line in _JOIN.format(**facts, servers=_SERVERS).splitlines():
            _run(_ip_command(line))
        _run(["sh", "-ec", _TAKE_HERE.format(name=name)])
        _run(host.command(["sh", "-ec", _TAKE_THERE]))
        yield host
    finally:
        for line in _PART:
            with contextlib.suppress(DependencyUnavailable):  # it was never made
                _run(_ip_command(line.format(name=name)))


def _free_network() -> ipaddress.IPv4Network:
    """Return a network of two addresses that overlaps with none of this machine."""
    lines = _run(_ip_command("-4 -oneline address show")).splitlines()
    used = [ipaddress.IPv4Interface(line.split()[3]).network for line in lines]
    pairs = _ADDRESSES.subnets(new_prefix=30)
    free = [pair for pair in pairs if not any(map(pair.overlaps, used))]
    if not free:
        raise _refusal(f"All of {_ADDRESSES} is in use.")
    return random.choice(free)  # noqa: S311 - spreads runs apart, guards nothing


def _ip_command(line: str) -> list[str]:
    ip = programs.find("ip")
    if ip is None:
        raise _refusal("There is no program `ip`.")
    return ip.command(*line.split())


def _run(command: Sequence[str]) -> str:
    """Run a command to its end and return what it wrote."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise _refusal(f"{' '.join(command)}: exit code {done.returncode}. {said[:_SAID]}")
    return done.stdout


def _refusal(why: str) -> DependencyUnavailable:
    return DependencyUnavailable(
        "Hosts are not to be had here.",
        why=why,
        fix="Be root on Linux, with iproute2 and the services that the benchmark starts.",
    )
