"""The commands that bring the system up: up, demo, test, services."""

import contextlib
import functools
import os
import shutil
from collections.abc import Iterator, Mapping

from app.errors import ConfigurationInvalid, MailqueueError
from infra.local import environment, fleet, places, ports
from infra.local.places import LOCAL, Place
from infra.local.stack import Life, Stack, remove_data, services
from infra.local.supervise import Process, Supervisor
from infra.local.terminal import say, table

_LISTENERS = {
    "web": "web",
    "tracking": "tracking",
    "inbox": "inbox_http",
    "inbound": "inbound",
}
_READY_LIMIT_S = 60
_FAILED = "failed"
# The tests start hundreds of processes: each would compile every module again.
_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}


class StepFailed(MailqueueError):
    """A step on the way up ended with an error of its own, printed above."""

    code = "step_failed"


def up(words: list[str]) -> int:
    """Bring everything up and keep it until Ctrl-C; `--fresh` forgets the data of last time."""
    _only(words, "--fresh")
    place = places.place("up")
    with places.claimed(place), Supervisor(place.logs) as supervisor:
        if "--fresh" in words:
            remove_data(place)
        numbers = ports.remembered(place.root / "ports.json")
        stack = Stack(place=place, ports=numbers, life=Life.KEPT)
        with services(stack, supervisor) as found:
            env = _kept_environment(stack, found, supervisor)
            _step(supervisor, ("app", "migrate"), env)
            _step(supervisor, ("app.demo", "seed"), env)
            _start_application(stack, env, supervisor)
            _announce(stack, env)
            supervisor.watch()
            say("stopping")
    return 0


def demo(words: list[str]) -> int:
    """Drive a campaign to its end on a stack of its own; the exit code is the demo's."""
    _only(words)
    with _throwaway("demo") as (stack, supervisor), services(stack, supervisor) as found:
        env = _throwaway_environment(stack, found)
        _step(supervisor, ("app", "migrate"), env)
        _start_application(stack, env, supervisor)
        code = supervisor.complete(fleet.one_shot(("app.demo", "run"), env))
        return _keep_logs_of_failure(stack, code)


def test(words: list[str]) -> int:
    """Run pytest against services of its own; all words go to pytest, its exit code comes back."""
    with _throwaway("test") as (stack, supervisor), services(stack, supervisor) as found:
        env = _throwaway_environment(stack, found) | _BYTECODE
        code = supervisor.complete(fleet.one_shot(("pytest", *with_workers(words)), env))
        say(f"pytest ended with exit code {code}")
        return _keep_logs_of_failure(stack, code)


def bench(words: list[str]) -> int:
    """Measure on services as durable as production; all words go to infra.load.bench."""
    with (
        _throwaway("bench", Life.MEASURED) as (stack, supervisor),
        services(stack, supervisor) as found,
    ):
        env = _throwaway_environment(stack, found)
        code = supervisor.complete(fleet.one_shot(("infra.load.bench", *words), env))
        return _keep_logs_of_failure(stack, code)


def chaos(words: list[str]) -> int:
    """Let every fault strike, on services that it starts and kills itself; words go to the run."""
    with _throwaway("chaos") as (stack, supervisor):
        command = ("tests.failure.chaos", *words)
        code = supervisor.complete(fleet.one_shot(command, environment.ours()))
        return _keep_logs_of_failure(stack, code)


def only_services(words: list[str]) -> int:
    """Run only the three services until Ctrl-C, or as long as the command given takes."""
    place = places.place("services")
    with places.claimed(place), Supervisor(place.logs) as supervisor:
        numbers = ports.remembered(place.root / "ports.json")
        stack = Stack(place=place, ports=numbers, life=Life.KEPT)
        with services(stack, supervisor) as found:
            places.remember_running(place, {"env": found})
            if words:
                env = environment.ours(found)
                return supervisor.complete(Process(name=words[0], command=words, env=env))
            table("Services", sorted(found.items()))
            supervisor.watch()
    return 0


def with_workers(words: list[str]) -> list[str]:
    """Return pytest's arguments with two workers, unless they say otherwise or need one.

    Each worker gets a half in one piece, so that what a module's tests share is made once; who is
    through takes from the other's end.
    """
    decided = ("-n", "--numprocesses", "--dist", "--pdb", "--trace", "-s", "--collect-only", "--co")
    if any(word.startswith(decided) for word in words):
        return words
    return ["-n", "2", "--dist", "worksteal", *words]


@contextlib.contextmanager
def _throwaway(kind: str, life: Life = Life.THROWAWAY) -> Iterator[tuple[Stack, Supervisor]]:
    """Own a stack on free ports in a folder of its own; folders of dead launchers are removed."""
    for leftover in LOCAL.glob(f"{kind}-[0-9]*"):
        old = Place(root=leftover)
        if not places.is_claimed(old):
            remove_data(old)
            shutil.rmtree(leftover, ignore_errors=True)
    place = places.place(f"{kind}-{os.getpid()}")
    stack = Stack(place=place, ports=ports.throwaway(), life=life)
    with places.claimed(place), Supervisor(place.logs) as supervisor:
        yield stack, supervisor
    if not (place.root / _FAILED).exists():
        shutil.rmtree(place.root, ignore_errors=True)


def _keep_logs_of_failure(stack: Stack, code: int) -> int:
    """Return `code`; logs of a failure stay until the next run, those of a success do not."""
    if code:
        (stack.place.root / _FAILED).touch()
        say(f"the logs of its processes: {stack.place.logs}")
    return code


def _throwaway_environment(stack: Stack, found: Mapping[str, str]) -> dict[str, str]:
    addresses = environment.addresses(stack.place, stack.ports)
    env = environment.ours(environment.throwaway_secrets(), addresses, found)
    places.remember_running(stack.place, {"env": dict(found)})
    return env


def _kept_environment(
    stack: Stack, found: Mapping[str, str], supervisor: Supervisor
) -> dict[str, str]:
    """Return the application's environment; `.env` is made with fresh secrets when absent."""
    if not environment.ENV_FILE.exists():
        _step(supervisor, ("app", "init"), environment.ours(found))
    addresses = environment.addresses(stack.place, stack.ports)
    return {**environment.read_env_file(), **environment.ours(addresses, found)}


def _step(supervisor: Supervisor, words: tuple[str, ...], env: Mapping[str, str]) -> None:
    code = supervisor.complete(fleet.one_shot(words, env))
    if code:
        raise StepFailed(
            f"`python -m {' '.join(words)}` ended with exit code {code}.",
            why="Its message stands above.",
            fix="Everything else was stopped.",
        )
    say(f"{' '.join(words)}: done")


def _start_application(stack: Stack, env: Mapping[str, str], supervisor: Supervisor) -> None:
    """Start all processes and wait until those that listen do."""
    waits = []
    for process in (fleet.inbox(env), *fleet.application(env)):
        child = supervisor.start(process)
        if process.name in _LISTENERS:
            waits.append((child, stack.ports[_LISTENERS[process.name]]))
    for child, port in waits:
        supervisor.wait_until(child, functools.partial(ports.is_answering, port), _READY_LIMIT_S)
        say(f"{child.name} is ready")


def _announce(stack: Stack, env: Mapping[str, str]) -> None:
    """Print where everything is and remember it for `status`, `mailqueue` and `logs`."""
    at = {name: f"http://{ports.LOOPBACK}:{number}" for name, number in stack.ports.items()}
    own = {name: value for name, value in env.items() if os.environ.get(name) != value}
    places.remember_running(stack.place, {"env": own})
    login = f"login mailqueue, password {places.password(stack.place)}"
    rows = [
        ("Console", at["web"]),
        ("Tracking", at["tracking"]),
        ("Inbox", f"{at['inbox_http']}  (SMTP {ports.LOOPBACK}:{stack.ports['inbox_smtp']})"),
        ("RabbitMQ console", f"{at['rabbitmq_console']}  ({login})"),
        *((name, env[name]) for name in ("DATABASE_URL", "RABBITMQ_URL", "REDIS_URL")),
        ("Command line", "./run mailqueue ..., for example ./run mailqueue ledger"),
        ("Logs", f"./run logs NAME: {_log_names(stack.place)}"),
        ("Stop", "Ctrl-C here, or ./run down"),
    ]
    table("Mailqueue is up", rows)


def _log_names(place: Place) -> str:
    return " ".join(sorted(path.stem for path in place.logs.glob("*.log")))


def _only(words: list[str], *known: str) -> None:
    for word in words:
        if word not in known:
            raise ConfigurationInvalid(
                f"{word} is not known here.",
                fix=f"Known: {', '.join(known) or 'no argument'}. See ./run help.",
                field=word,
            )
