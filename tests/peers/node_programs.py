"""The programs of tests/peers/node, run by node with the modules npm installed for them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from infra.local import npm


def node(script: str, given: dict[str, Any]) -> str:
    """Run a script with `given` as JSON on its stdin; return what it printed.

    The test is skipped where node and its modules cannot be had.
    """
    folder = npm.install(Path(__file__).parent / "node", "test-peers")
    if folder is None:
        pytest.skip("node and npm, or the modules of tests/peers/node, cannot be had here")
    done = subprocess.run(
        ["node", script],
        cwd=folder,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
