"""Which ports a stack gets."""

import json
import socket
from pathlib import Path

import pytest

from infra.local import ports


@pytest.fixture
def busy_port():
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_somebody_listens_on_is_not_free(busy_port: int) -> None:
    assert not ports.is_free(busy_port)
    assert ports.is_answering(busy_port)


def test_a_port_busy_since_last_time_moves_by_a_thousand(busy_port: int, tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    file.write_text(json.dumps({"web": busy_port}))

    chosen = ports.remembered(file)

    assert chosen["web"] != busy_port
    assert (chosen["web"] - busy_port) % 1_000 == 0


def test_the_kept_stack_gets_the_same_ports_again(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    assert ports.remembered(file) == ports.remembered(file)


def test_no_port_is_given_twice_in_one_stack() -> None:
    chosen = ports.throwaway()
    assert len(set(chosen.values())) == len(ports.PREFERRED) == len(chosen)


def test_throwaway_ports_are_none_that_outgoing_connections_take() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(ports.throwaway().values()) < lowest
