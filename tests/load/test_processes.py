"""What /proc says about processes: trees, CPU, ports."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from infra.load import processes
from infra.load.usage import Meter

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
FAMILY = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}], check=True)  # ended and waited for
child = subprocess.Popen([sys.executable, "-c", {BURN!r} + "print(1, flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("burnt", flush=True)
input()
"""


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A process with a child that ended and one that lives; each child took 0.4 CPU seconds."""
    command = [sys.executable, "-c", FAMILY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        yield process
        process.communicate("\n")


def test_cpu_of_a_tree_counts_living_and_ended_children(family: subprocess.Popen[str]):
    assert len(processes.tree(family.pid)) == 2
    assert processes.cpu_s(family.pid) >= 0.75


def test_a_process_that_is_gone_costs_nothing():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert processes.cpu_s(done.pid) == 0
    assert processes.memory_mb(done.pid) == 0
    assert processes.open_files(done.pid) == 0
    assert processes.command_name(done.pid) == ""


def test_a_meter_counts_only_what_is_spent_after_it_was_made(family: subprocess.Popen[str]):
    spent = Meter({"family": family.pid}).spent(10)
    assert spent.of("family") < 40  # milliseconds for each of ten items, of 80 burnt before
    assert spent.of("nobody") == 0


def test_the_listener_on_a_port_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert processes.listener(port) == os.getpid()
    assert processes.listener(port) is None
