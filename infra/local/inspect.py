"""The commands that look at a stack or end it: down, restart, status, logs, doctor, mailqueue."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

from app.errors import ConfigurationInvalid, DependencyUnavailable, MailqueueError, NotFound
from infra.local import debian, docker, environment, places, ports, postgres, rabbitmq, redis
from infra.local.places import LOCAL, ROOT, Place
from infra.local.sources import Finders, Service, Source, allowed, find, given
from infra.local.supervise import restart_request
from infra.local.terminal import table

_STOP_LIMIT_S = 120
_FREE_GB = 2


def down(_words: list[str]) -> int:
    """Stop the stack of `./run up` and wait until it has ended."""
    place = places.place("up")
    launcher = places.owner(place)
    if launcher is None:
        sys.stdout.write("Nothing is up.\n")
        return 0
    os.kill(launcher, signal.SIGTERM)
    _wait_for_launcher(place, lambda: places.owner(place) != launcher)
    sys.stdout.write("Stopped.\n")
    return 0


def status(_words: list[str]) -> int:
    """Print every stack of this checkout that runs; exit code 3 when none does."""
    running = [(path.parent.name, Place(root=path.parent)) for path in LOCAL.glob("*/lock")]
    facts = [(name, places.read_running(place)) for name, place in sorted(running)]
    alive = [(name, fact) for name, fact in facts if fact]
    for name, fact in alive:
        env = fact["env"]
        rows = sorted(env.items()) if isinstance(env, dict) else []
        shown = [(key, value) for key, value in rows if key.endswith(("_URL", "_PORT"))]
        table(f"{name} (process {places.owner(Place(root=LOCAL / name))})", shown)
    if not alive:
        sys.stdout.write("Nothing is up.\n")
    return 0 if alive else 3


def logs(words: list[str]) -> int:
    """Print the end of a process's log; `-f` goes on as it grows."""
    names = [word for word in words if word != "-f"]
    known = {path.stem: path for path in places.place("up").logs.glob("*.log")}
    if len(names) != 1 or names[0] not in known:
        raise NotFound(
            f"No log is called {' '.join(names) or '(no name given)'}.",
            fix=f"Known: {', '.join(sorted(known)) or 'none yet, see ./run up'}.",
        )
    follow = ["-F"] if "-f" in words else []
    os.execvp("tail", ["tail", "-n", "200", *follow, str(known[names[0]])])


def restart(words: list[str]) -> int:
    """Restart one process of a running stack (`up`, or the one named); `--kill` is a crash."""
    names = [word for word in words if word != "--kill"]
    place = Place(root=LOCAL / (names[1] if len(names) > 1 else "up"))
    known = sorted(path.stem for path in place.logs.glob("*.log"))
    if not names or names[0] not in known or places.owner(place) is None:
        raise NotFound(
            f"No running process is called {' '.join(names) or '(no name given)'}.",
            fix=f"Known in {place.root.name}: {', '.join(known) or 'none'}. See ./run status.",
        )
    request = restart_request(place.logs)
    places.write_private(request, f"{names[0]} {'SIGKILL' if '--kill' in words else 'SIGTERM'}")
    _wait_for_launcher(place, lambda: not request.exists())
    return 0


def doctor(_words: list[str]) -> int:
    """Print where each service would come from and what is missing; exit code 1 when one is."""
    answers = [(service, *_origin(service)) for service in Service]
    rows = [(service.value, text) for service, _, text in answers]
    busy = [f"{name} {n}" for name, n in ports.PREFERRED.items() if not ports.is_free(n)]
    free_gb = shutil.disk_usage(ROOT).free / 2**30
    rows += [
        ("python", f"{sys.version.split()[0]} ({sys.executable})"),
        ("docker", "its engine answers" if docker.engine_answers() else "no engine (not needed)"),
        ("busy ports", ", ".join(busy) or "none"),
        ("free disk", f"{free_gb:.0f} GB" + ("" if free_gb > _FREE_GB else ": too little")),
        (".env", "present" if environment.ENV_FILE.exists() else "made by ./run up"),
    ]
    table("Local stack", rows)
    return 0 if all(is_found for _, is_found, _ in answers) else 1


def mailqueue(words: list[str]) -> int:
    """Become `mailqueue WORDS` against the stack of `./run up`."""
    facts = places.read_running(places.place("up"))
    if facts is None:
        raise DependencyUnavailable(
            "Nothing is up.",
            why="`./run mailqueue` talks to the stack of `./run up`.",
            fix="Start it with ./run up, or call .venv/bin/mailqueue with your own settings.",
        )
    env = facts["env"]
    if not isinstance(env, dict):
        raise ConfigurationInvalid("running.json is broken.", fix="./run down, then ./run up.")
    command = [sys.executable, "-m", "app", *words]
    os.execve(sys.executable, command, environment.ours(env))


def _wait_for_launcher(place: Place, has_obeyed: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _STOP_LIMIT_S
    while not has_obeyed():
        if time.monotonic() > deadline:
            launcher = places.owner(place)
            raise DependencyUnavailable(
                f"The launcher (process {launcher}) did not obey within {_STOP_LIMIT_S} s.",
                fix=f"kill -9 {launcher}: its children end with it.",
            )
        time.sleep(0.1)


def _origin(service: Service) -> tuple[bool, str]:
    """Return whether this service can be had, and where from, without fetching anything."""
    if service in given():
        return True, f"{service.variable} is set: used as it is"
    if docker.engine_answers():
        return True, "docker"
    finders = _finders(service)
    ready: Finders = {kind: finders[kind] for kind in finders if kind is not Source.DEBIAN}
    try:
        binaries = find(service, ready)
    except MailqueueError as missing:
        if Source.DEBIAN in finders and Source.DEBIAN in allowed() and debian.is_possible():
            return True, "Debian packages, fetched once without installing them"
        return False, str(missing)
    return True, f"{binaries.source}: {binaries.folder}"


def _finders(service: Service) -> Finders:
    return {
        Service.POSTGRES: postgres.finders(postgres.unprivileged()),
        Service.RABBITMQ: rabbitmq.finders(),
        Service.REDIS: redis.finders(),
    }[service]
