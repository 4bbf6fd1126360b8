"""The peers' Node programs, run beside our services."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from app.db.session import Session
from infra.load.databases import new_database
from infra.load.running import Child, running, wait_for_line
from infra.local import npm

SOURCE = Path(__file__).parent / "peers"
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
    folder = npm.install(SOURCE, "peers")
    return None if folder is None else Peers(folder=folder, database_url=new_database(_DATABASE))
