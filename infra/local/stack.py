"""Bring up what is missing of PostgreSQL, RabbitMQ and Redis, and say where everything is."""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from infra.local import docker, postgres, rabbitmq, redis
from infra.local.places import Place
from infra.local.ports import is_answering
from infra.local.sources import Service, given
from infra.local.supervise import Child, Supervisor
from infra.local.terminal import say


class Life(StrEnum):
    """How long a stack's data lives; `measured` is as durable as production and then removed."""

    KEPT = "kept"
    MEASURED = "measured"
    THROWAWAY = "throwaway"

    @property
    def is_durable(self) -> bool:
        """Tell whether the services must survive a crash while they run."""
        return self is not Life.THROWAWAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack that is to be brought up: its folder, its ports and the life of its data."""

    place: Place
    ports: Mapping[str, int]
    life: Life


@contextmanager
def services(stack: Stack, supervisor: Supervisor) -> Iterator[dict[str, str]]:
    """Run the services for the time of the block; yields the environment that names them.

    A service whose URL stands in our environment is used as it is.
    """
    urls = given()
    missing = [service for service in Service if service not in urls]
    try:
        if docker.engine_answers():
            with _in_docker(stack, missing):
                yield _environment(stack, urls)
        else:
            _start_private(stack, missing, supervisor)
            yield _environment(stack, urls)
    finally:
        supervisor.stop()
        if stack.life is not Life.KEPT:
            remove_data(stack.place)


@contextmanager
def _in_docker(stack: Stack, missing: Collection[Service]) -> Iterator[None]:
    end = docker.stop if stack.life is Life.KEPT else docker.remove
    if missing:
        docker.start(stack.place, missing, stack.ports)
    try:
        yield
    finally:
        if missing:
            end(stack.place, stack.ports)


def remove_data(place: Place) -> None:
    """Delete everything a stack has stored; its logs stay."""
    postgres.remove_data(place)
    for child in place.root.iterdir():
        if child.is_symlink() or child.name == "password":
            child.unlink()
        elif child.is_dir() and child != place.logs:
            shutil.rmtree(child, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """A child that was started and is yet to answer."""

    child: Child
    is_ready: Callable[[], bool]
    limit_s: float


def _start_private(stack: Stack, missing: Collection[Service], supervisor: Supervisor) -> None:
    """Start private instances: the slow broker first, awaited last."""
    starters = {
        Service.RABBITMQ: _start_rabbitmq,
        Service.POSTGRES: _start_postgres,
        Service.REDIS: _start_redis,
    }
    started = [start(stack, supervisor) for name, start in starters.items() if name in missing]
    for start in reversed(started):
        supervisor.wait_until(start.child, start.is_ready, start.limit_s)
        say(f"{start.child.name} is ready")


def _start_rabbitmq(stack: Stack, supervisor: Supervisor) -> _Start:
    epmd, node = rabbitmq.prepare(stack.place, stack.ports)
    mapper = supervisor.start(epmd)
    supervisor.wait_until(mapper, lambda: is_answering(stack.ports["epmd"]), 10)
    if not stack.life.is_durable:
        node = rabbitmq.stopped_by_kill(node)
    child = supervisor.start(node)
    return _Start(child=child, is_ready=lambda: rabbitmq.is_ready(stack.ports), limit_s=120)


def _start_postgres(stack: Stack, supervisor: Supervisor) -> _Start:
    settings = {} if stack.life.is_durable else postgres.THROWAWAY_SETTINGS
    port = stack.ports["postgres"]
    server = postgres.prepare(stack.place, port, settings)
    if stack.life is Life.MEASURED:
        postgres.admit_neighbours(stack.place)
    child = supervisor.start(server)
    return _Start(child=child, is_ready=lambda: postgres.is_ready(server, port), limit_s=60)


def _start_redis(stack: Stack, supervisor: Supervisor) -> _Start:
    append_only = "yes" if stack.life.is_durable else "no"
    port = stack.ports["redis"]
    server = redis.prepare(stack.place, port, append_only)
    if stack.life is Life.MEASURED:
        server = redis.admitting_neighbours(server)
    child = supervisor.start(server)
    return _Start(child=child, is_ready=lambda: redis.is_ready(port), limit_s=60)


def _environment(stack: Stack, urls: Mapping[Service, str]) -> dict[str, str]:
    """Return the variables by which the application finds its services."""
    env = {
        Service.POSTGRES.variable: postgres.url(stack.place, stack.ports["postgres"]),
        Service.RABBITMQ.variable: rabbitmq.url(stack.place, stack.ports),
        Service.REDIS.variable: redis.url(stack.ports["redis"]),
        **{service.variable: url for service, url in urls.items()},
    }
    if Service.RABBITMQ not in urls:
        env["RABBITMQ_MANAGEMENT_URL"] = rabbitmq.management_url(stack.place, stack.ports)
    return env
