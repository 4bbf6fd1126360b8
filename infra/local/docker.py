"""The three services from docker-compose.yml, where a Docker engine answers."""

import os
import shutil
import subprocess
from collections.abc import Collection, Mapping
from hashlib import sha256

from app.errors import DependencyUnavailable
from infra.local.places import ROOT, Place, password
from infra.local.sources import Service, Source, allowed

_ANSWER_S = 2


def engine_answers() -> bool:
    """Tell whether Docker may be used and its engine answers within two seconds."""
    docker = shutil.which("docker")
    if Source.DOCKER not in allowed() or docker is None:
        return False
    try:
        asked = subprocess.run(
            [docker, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            timeout=_ANSWER_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


def start(stack: Place, services: Collection[Service], ports: Mapping[str, int]) -> None:
    """Start these services and return when their health checks are green."""
    _compose(stack, ports, "up", "-d", "--wait", *services)


def stop(stack: Place, ports: Mapping[str, int]) -> None:
    """Stop the services; their volumes stay."""
    _compose(stack, ports, "stop")


def remove(stack: Place, ports: Mapping[str, int]) -> None:
    """Stop the services and delete their volumes."""
    _compose(stack, ports, "down", "--volumes")


def project(stack: Place) -> str:
    """Return the compose project of a stack: one per folder, so that clones do not meet."""
    return f"mailqueue-{sha256(str(stack.root).encode()).hexdigest()[:8]}"


def _compose(stack: Place, ports: Mapping[str, int], *words: str) -> None:
    command = ["docker", "compose", "-p", project(stack), "-f", str(ROOT / "docker-compose.yml")]
    env = {
        **os.environ,
        "POSTGRES_PASSWORD": password(stack),
        "RABBITMQ_PASSWORD": password(stack),
        "POSTGRES_PORT": str(ports["postgres"]),
        "RABBITMQ_PORT": str(ports["rabbitmq"]),
        "RABBITMQ_CONSOLE_PORT": str(ports["rabbitmq_console"]),
        "RABBITMQ_METRICS_PORT": str(ports["rabbitmq_metrics"]),
        "REDIS_PORT": str(ports["redis"]),
    }
    if subprocess.run([*command, *words], env=env, check=False).returncode:
        raise DependencyUnavailable(
            "Docker did not bring the services up.",
            why=f"`docker compose {' '.join(words)}` failed; its messages stand above.",
            fix="Repair it, or set MAILQUEUE_LOCAL_SOURCES=system,wheel,debian to go without.",
        )
