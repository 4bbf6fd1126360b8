"""PostgreSQL, RabbitMQ and Redis of a fault run's own, each of which may be killed and wiped.

PostgreSQL runs without fsync, which a kill -9 of the server survives (the kernel has the bytes);
synchronous_commit stays on, because a commit that was confirmed must be there afterwards.
"""

import contextlib
import shutil
import signal
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from infra.local import ports, postgres, rabbitmq, redis, supervise
from infra.local.places import Place
from infra.local.supervise import Child, Process
from tests import stack

_SURVIVES_A_KILL = {"fsync": "off", "full_page_writes": "off"}
_START_S = 90


class Service(StrEnum):
    """What can be killed."""

    POSTGRES = "postgres"
    RABBITMQ = "rabbitmq"
    REDIS = "redis"


class Services:
    """The three services on ports of their own; `database_url` is a fresh database per scenario."""

    def __init__(self, root: Path) -> None:
        self._place = Place(root=root)
        self._place.folder("logs")
        self._ports = ports.throwaway()
        epmd, node = rabbitmq.prepare(self._place, self._ports)
        self._processes: dict[Service, Process] = {
            Service.POSTGRES: postgres.prepare(
                self._place, self._ports["postgres"], _SURVIVES_A_KILL
            ),
            Service.RABBITMQ: rabbitmq.stopped_by_kill(node),
            Service.REDIS: redis.prepare(self._place, self._ports["redis"], "yes"),
        }
        self._children: dict[Service, Child] = {}
        self._epmd = start_process(epmd, self._place.logs)
        for service in Service:
            self.start(service, is_awaited=False)
        for service in Service:
            self.wait_for(service)
        self._maintenance_url = postgres.url(self._place, self._ports["postgres"])
        with psycopg.connect(self._maintenance_url, autocommit=True) as maintenance:
            self._template = stack.migrated_template(self._maintenance_url, maintenance)
        self._databases = 0

    @property
    def rabbitmq_url(self) -> str:
        return rabbitmq.url(self._place, self._ports)

    @property
    def redis_url(self) -> str:
        return redis.url(self._ports["redis"])

    def through(self, port: int) -> str:
        """Return the AMQP URL of a proxy on `port`."""
        parts = urlsplit(self.rabbitmq_url)
        user, _, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}@{ports.LOOPBACK}:{port}"))

    @property
    def rabbitmq_port(self) -> int:
        return self._ports["rabbitmq"]

    def new_database(self) -> str:
        """Return the URL of a migrated, empty database."""
        self._databases += 1
        name = f"scenario_{self._databases}"
        with psycopg.connect(self._maintenance_url, autocommit=True) as maintenance:
            maintenance.execute(
                f'CREATE DATABASE {name} TEMPLATE "{self._template}" STRATEGY file_copy'
            )
        return stack.beside(self._maintenance_url, name)

    def drop_database(self, url: str) -> None:
        """Drop a scenario's database; while its server is killed it stays until the end."""
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(self._maintenance_url, autocommit=True) as maintenance,
        ):
            maintenance.execute(f"DROP DATABASE {stack.name_of(url)} WITH (FORCE)")

    def kill(self, service: Service) -> None:
        """kill -9 of the server; PostgreSQL's backends notice by themselves."""
        child = self._children.pop(service)
        child.signal(signal.SIGKILL)
        child.popen.wait()

    def start(self, service: Service, *, is_awaited: bool = True) -> None:
        """Start a service with the data it had."""
        self._children[service] = start_process(self._processes[service], self._place.logs)
        if is_awaited:
            self.wait_for(service)

    def wipe(self, service: Service) -> None:
        """Delete the data of a killed service."""
        folders = {Service.RABBITMQ: "rabbitmq/data", Service.REDIS: "redis"}
        folder = self._place.root / folders[service]
        shutil.rmtree(folder)
        folder.mkdir()

    def restore(self) -> None:
        """Start what a broken-off trial left killed."""
        for service in Service:
            if service not in self._children:
                self.start(service)

    def wait_for(self, service: Service) -> None:
        """Wait until a service answers; one that ended at once is started again."""
        ends_at = time.monotonic() + _START_S
        while not self._answers(service):
            child = self._children[service]
            if not child.is_alive:
                # PostgreSQL refuses while backends of the killed server are still leaving.
                self._children[service] = start_process(child.process, self._place.logs)
            assert time.monotonic() < ends_at, f"{service} did not start: {child.tail()}"
            time.sleep(0.1)

    def close(self) -> None:
        for service in list(self._children):
            self.kill(service)
        self._epmd.signal(signal.SIGKILL)
        self._epmd.popen.wait()
        postgres.remove_data(self._place)

    def _answers(self, service: Service) -> bool:
        asks: dict[Service, Callable[[], bool]] = {
            Service.POSTGRES: lambda: postgres.is_ready(
                self._processes[Service.POSTGRES], self._ports["postgres"]
            ),
            Service.RABBITMQ: lambda: rabbitmq.is_ready(self._ports),
            Service.REDIS: lambda: redis.is_ready(self._ports["redis"]),
        }
        with contextlib.suppress(OSError):
            return asks[service]()
        return False


def start_process(process: Process, logs: Path) -> Child:
    """Start a process that dies with us and logs into a file of its own."""
    log = logs / f"{process.name}.log"
    with log.open("ab") as output:
        return Child(process=process, popen=supervise._spawn(process, output), log=log)
