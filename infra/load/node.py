"""The peers' Node programs: installed privately from the lock file, run beside our services."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from app.config import settings
from app.db.session import Session
from infra.load.running import Child, running, wait_for_line
from infra.local.places import LOCAL, held
from infra.local.terminal import say

SOURCE = Path(__file__).parent / "peers"
_FOLDER = LOCAL / "peers"
_DATABASE = "mailqueue_bench_peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The installed programs and the URL of the database they work on."""

    folder: Path
    database_url: str

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment of a peer's process."""
        fixed = {"PEER_DATABASE_URL": self.database_url, "NODE_ENV": "production"}
        return {**os.environ, **fixed, **(more or {})}

    @contextmanager
    def running(
        self, script: str, log: Path, more: Mapping[str, str] | None = None
    ) -> Iterator[Child]:
        """Run one of the programs; it has said that it is ready when the block begins."""
        command = ["node", str(self.folder / script)]
        with running(command, log, env=self.environment(more)) as process:
            wait_for_line(log, "ready", process)
            yield process

    def connect(self) -> Session:
        """Open a session to the peers' database."""
        return psycopg.connect(self.database_url, autocommit=True)


def installed() -> Peers | None:
    """Install the peers when that is possible; None, and a word why, when it is not."""
    if not (shutil.which("node") and shutil.which("npm")):
        say("node or npm is not on PATH: the peers' column stays empty")
        return None
    with held(LOCAL / "peers.lock"):
        if not _install():
            return None
    return Peers(folder=_FOLDER, database_url=_database())


def _install() -> bool:
    """Copy the programs and bring node_modules to the lock file's state."""
    lock = (SOURCE / "package-lock.json").read_bytes()
    stamp = _FOLDER / "installed-lock.json"
    _FOLDER.mkdir(parents=True, exist_ok=True)
    for path in SOURCE.iterdir():
        shutil.copy(path, _FOLDER / path.name)
    if stamp.exists() and stamp.read_bytes() == lock:
        return True
    say("npm installs the peers into .local/peers")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=_FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"npm could not install the peers: {done.stderr.strip()[-300:]}")
        return False
    stamp.write_bytes(lock)
    return True


def _database() -> str:
    """Return the URL of the peers' database on our server, made when absent."""
    ours = settings().database_url
    with psycopg.connect(ours, autocommit=True) as session:
        found = "SELECT FROM pg_database WHERE datname = %s"
        if session.execute(found, (_DATABASE,)).fetchone() is None:
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))
    return urlunsplit(urlsplit(ours)._replace(path=f"/{_DATABASE}"))
