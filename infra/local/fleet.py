"""The application's processes on one machine, as `./run up` and `mailqueue up` start them."""

import sys
from collections.abc import Mapping

from infra.local.places import ROOT
from infra.local.supervise import Process

MAIL_QUEUES = (
    "send.high",
    "send.normal",
    "send.low",
    "assemble.high",
    "assemble.normal",
    "assemble.low",
)
OTHER_QUEUES = ("schedule", "events", "webhooks", "inbound", "maintenance")


def application(env: Mapping[str, str]) -> tuple[Process, ...]:
    """Return web, tracking, two worker fleets, clock and inbound, with this environment.

    Mail has a fleet of its own: a flood of opens and clicks must not delay it. The fleet for the
    rest is one process with the same number of threads.
    """
    return (
        _command("web", env),
        _command("tracking", env),
        _workers("workers-mail", env, MAIL_QUEUES, env.get("MAILQUEUE_WORKER_PROCESSES", "2")),
        _workers("workers-rest", env, OTHER_QUEUES, "1"),
        _command("clock", env),
        _command("inbound", env),
    )


def inbox(env: Mapping[str, str]) -> Process:
    """Return the development inbox."""
    return _command("inbox", env)


def one_shot(words: tuple[str, ...], env: Mapping[str, str]) -> Process:
    """Return `python -m WORDS`, to be run to its end."""
    return Process(name=" ".join(words), command=[sys.executable, "-m", *words], env=env, cwd=ROOT)


def _command(name: str, env: Mapping[str, str]) -> Process:
    return Process(name=name, command=[sys.executable, "-m", "app", name], env=env, cwd=ROOT)


def _workers(name: str, env: Mapping[str, str], queues: tuple[str, ...], processes: str) -> Process:
    threads = env.get("MAILQUEUE_WORKER_THREADS", "2")
    options = ["-p", processes, "-t", threads, "-Q", *queues]
    command = [sys.executable, "-m", "dramatiq", "actors", *options]
    return Process(name=name, command=command, env=env, cwd=ROOT, grace_s=60)
