"""Children that live and die together: each case is a launcher of its own, killed for real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import supervise
from infra.local.places import ROOT

PATIENT = "import time; print('started', flush=True); time.sleep(60)"
DYING = "import time; print('no database here', flush=True); time.sleep(0.3); raise SystemExit(7)"
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('started', flush=True); time.sleep(60)"
)
PARENT = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(child.pid, flush=True); time.sleep(60)"
)
LAUNCHER = """
import sys
from pathlib import Path
from infra.local import supervise
processes = [
    supervise.Process(name=f"child{n}", command=[sys.executable, "-c", code], tier=n)
    for n, code in enumerate(sys.argv[2:])
]
sys.exit(supervise.run(processes, Path(sys.argv[1])))
"""


class Launcher:
    """A launcher process and what its children wrote."""

    def __init__(self, logs: Path, codes: tuple[str, ...]) -> None:
        self.logs = logs
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(logs), *codes],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_output(self, name: str) -> str:
        log = self.logs / f"{name}.log"
        eventually(lambda: log.exists() and log.read_text() != "")
        return log.read_text()

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=15)
        return self.process.returncode, errors

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]


def eventually(condition: Callable[[], bool], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Launcher]]:
    started: list[Launcher] = []

    def start(*codes: str) -> Launcher:
        started.append(Launcher(tmp_path, codes))
        return started[-1]

    yield start
    for launcher in started:
        launcher.process.kill()
        launcher.process.communicate()


def test_a_child_that_dies_stops_all_and_shows_the_end_of_its_log(launch) -> None:
    launcher = launch(PATIENT, DYING)
    launcher.wait_for_output("child0")
    children = launcher.children()

    code, errors = launcher.end()

    assert code == 1
    assert "child1 ended by itself with exit code 7" in errors
    assert "no database here" in errors
    assert not any(is_running(pid) for pid in children)


def test_ctrl_c_stops_everything_and_is_no_error(launch) -> None:
    launcher = launch(PATIENT, PATIENT)
    launcher.wait_for_output("child1")
    children = launcher.children()

    launcher.process.send_signal(signal.SIGINT)

    assert launcher.end()[0] == 0
    assert not any(is_running(pid) for pid in children)


def test_children_are_out_of_reach_of_the_terminals_ctrl_c(launch) -> None:
    launcher = launch(PATIENT)
    launcher.wait_for_output("child0")
    (child,) = launcher.children()
    assert os.getsid(child) == child != os.getsid(launcher.process.pid)


def test_a_second_ctrl_c_kills_a_child_that_will_not_stop(launch) -> None:
    launcher = launch(DEAF)
    launcher.wait_for_output("child0")
    launcher.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert launcher.process.poll() is None

    launcher.process.send_signal(signal.SIGINT)

    assert launcher.end()[0] == 0


def test_the_highest_tier_stops_first(launch, tmp_path: Path) -> None:
    farewell = (
        "import signal, sys, time\n"
        "def leave(*_): open({path!r}, 'a').write({name!r}); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave); print('started', flush=True); time.sleep(60)"
    )
    order = tmp_path / "order"
    codes = (farewell.format(path=str(order), name=name) for name in ("epmd ", "service ", "app "))
    launcher = launch(*codes)
    for number in range(3):
        launcher.wait_for_output(f"child{number}")

    launcher.process.send_signal(signal.SIGTERM)
    launcher.end()

    assert order.read_text() == "app service epmd "


@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
def test_a_child_is_restarted_when_asked_and_nothing_else_stops(launch, number: str) -> None:
    launcher = launch(PATIENT, PATIENT)
    launcher.wait_for_output("child0")
    launcher.wait_for_output("child1")
    kept, replaced = launcher.children()
    request = supervise.restart_request(launcher.logs)

    request.with_suffix(".new").write_text(f"child1 {number}")
    request.with_suffix(".new").rename(request)
    eventually(lambda: not request.exists())

    assert not is_running(replaced)
    assert len(launcher.children()) == 2
    assert kept in launcher.children()
    eventually(lambda: launcher.wait_for_output("child1") == "started\nstarted\n")


def test_children_of_a_killed_launcher_are_stopped_by_the_kernel(launch) -> None:
    launcher = launch(PATIENT)
    launcher.wait_for_output("child0")
    (child,) = launcher.children()

    launcher.process.kill()

    eventually(lambda: not is_running(child))


def test_what_a_child_leaves_behind_ends_with_it(launch) -> None:
    launcher = launch(PARENT)
    grandchild = int(launcher.wait_for_output("child0"))
    launcher.process.send_signal(signal.SIGINT)
    launcher.end()
    eventually(lambda: not is_running(grandchild))
