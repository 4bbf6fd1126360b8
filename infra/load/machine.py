"""On what a run was measured: processor, memory, versions; without it no number means anything."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

from app.db.session import Session
from infra.load.node import SOURCE
from infra.local.places import ROOT

_PACKAGES = ("dramatiq", "psycopg", "pika", "redis", "granian", "orjson")


def facts(session: Session) -> dict[str, object]:
    """Return what identifies machine and software; nothing in it names a person or a host."""
    row = session.execute("SHOW server_version").fetchone()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": row[0] if row else "",
        "node": _said("node", "--version"),
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
        "packages": {name: version(name) for name in _PACKAGES},
        "peers": (SOURCE / "package.json").read_text(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _said(*words: str) -> str:
    if shutil.which(words[0]) is None:
        return "absent"
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
