"""Hosts are network namespaces: they reach this machine's loopback, and go without a trace."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.errors import DependencyUnavailable
from infra.load import hosts
from infra.load.hosts import HERE, Host
from infra.local.places import ROOT
from infra.local.ports import LOOPBACK, free_port

CONNECT = """
import socket, sys
from pika.compat import nonblocking_socketpair
socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
nonblocking_socketpair()
"""
STAY = """
import sys
from infra.load.hosts import joined
from infra.load.running import unwind_when_stopped
unwind_when_stopped()
with joined(1) as (host,):
    print(host.namespace, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def joined(count: int) -> Iterator[tuple[Host, ...]]:
    """Hosts for the time of the block; skips the test where they are not to be had."""
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(hosts.joined(count))
        except DependencyUnavailable as error:
            pytest.skip(str(error))
        yield made


def peer_of(host: Host, server: socket.socket) -> str:
    """The address from which a host reaches a listener on this machine's loopback."""
    address, port = server.getsockname()
    words = [sys.executable, "-c", CONNECT, address, str(port)]
    subprocess.run(host.command(words), check=True)
    connection, (peer, _) = server.accept()
    connection.close()
    return str(peer)


def is_gone(namespace: str) -> bool:
    """Whether neither namespace nor interface of that name is left."""
    listed = subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True).stdout
    interfaces = [name for _, name in socket.if_nameindex()]
    return namespace not in listed.split() and namespace not in interfaces


def test_each_host_reaches_our_loopback_from_an_address_of_its_own_and_goes():
    with joined(2) as made, socket.create_server((LOOPBACK, free_port())) as server:
        server.settimeout(60)
        peers = {peer_of(host, server) for host in (*made, HERE)}
        assert len(peers) == 3
        assert LOOPBACK in peers
        assert not any(is_gone(host.namespace or "") for host in made)
    assert all(is_gone(host.namespace or "") for host in made)


def test_hosts_go_when_their_block_fails():
    with pytest.raises(ZeroDivisionError), joined(1) as (host,):
        raise ZeroDivisionError
    assert is_gone(host.namespace or "")


def test_hosts_go_when_the_benchmark_is_stopped():
    with joined(1):
        pass  # skips where hosts are not to be had
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", STAY]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        namespace = process.stdout.readline().strip()
        assert not is_gone(namespace)
        process.terminate()
        process.wait()
    assert process.returncode == 128 + 15
    assert is_gone(namespace)
