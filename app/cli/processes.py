"""The commands that become a process of the system: web, tracking, clock, worker, inbound, up."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from app import log
from app.cli.output import Command
from app.clock import utc_now
from app.config import Settings, settings
from app.db.partitions import create_ahead
from app.db.session import Session
from app.inbound.server import serve as receive
from app.inbox.server import serve
from app.log import Event, logger
from app.queueing.depth import DepthGauge
from app.queueing.publisher import BatchPublisher
from app.queueing.topology import WORK_QUEUES
from app.ticker import Clock, stop_on_signals
from infra.local import fleet, supervise
from infra.local.environment import read_env_file

_WORKERS = click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes."
)


# Python runs one thread at a time, and a thread may keep a database session. Of the web's threads most
# wait for the commit they share: with 16, a request took a third less CPU than with 8, with 32 no less.
_WEB_THREADS, _TRACKING_THREADS = 16, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A WSGI application and where it listens."""

    target: str
    host: str
    port: int
    workers: int
    threads: int


def granian_command(listener: Listener) -> list[str]:
    """Return the command that serves a WSGI application."""
    options = {
        "--interface": "wsgi",
        "--host": listener.host,
        "--port": listener.port,
        "--workers": listener.workers,
        "--blocking-threads": listener.threads,
        "--log-level": "warning",
        "--workers-kill-timeout": 15,
    }
    words = [str(word) for pair in options.items() for word in pair]
    return [
        *(sys.executable, "-m", "granian", "--no-ws", "--respawn-failed-workers"),
        *words,
        listener.target,
    ]


def dramatiq_command(processes: int, threads: int, queues: Sequence[str]) -> list[str]:
    """Return the command that runs the stages; no queues means all of them."""
    command = [sys.executable, "-m", "dramatiq", "actors"]
    command += ["--processes", str(processes), "--threads", str(threads)]
    return [*command, "--queues", *queues] if queues else command


@click.command(cls=Command)
@_WORKERS
def web(workers: int) -> None:
    """Serve the API and the console (WSGI app.wsgi:app)."""
    now = settings()
    listener = Listener(
        target="app.wsgi:app",
        host=now.web_host,
        port=now.web_port,
        workers=workers,
        threads=_WEB_THREADS,
    )
    _become(granian_command(listener))


@click.command(cls=Command)
@_WORKERS
def tracking(workers: int) -> None:
    """Serve pixel, click and unsubscribe links (WSGI tracking.wsgi:app)."""
    now = settings()
    listener = Listener(
        target="tracking.wsgi:app",
        host=now.tracking_host,
        port=now.tracking_port,
        workers=workers,
        threads=_TRACKING_THREADS,
    )
    _become(granian_command(listener))


@click.command(cls=Command)
@click.option(
    "-Q",
    "--queue",
    "queues",
    multiple=True,
    type=click.Choice(WORK_QUEUES),
    metavar="QUEUE",
    help="Take only this queue; may be repeated. " + ", ".join(WORK_QUEUES),
)
@click.option("--processes", type=click.IntRange(1, 256), help="Instead of the setting.")
@click.option("--threads", type=click.IntRange(1, 64), help="Instead of the setting.")
def worker(queues: tuple[str, ...], processes: int | None, threads: int | None) -> None:
    """Run the stages: `dramatiq actors`, all queues or the ones named."""
    now = settings()
    _become(
        dramatiq_command(processes or now.worker_processes, threads or now.worker_threads, queues)
    )


@click.command(cls=Command)
def clock() -> None:
    """Say when to schedule, fold and sweep; the first replica leads, the others stand by."""
    now = settings()
    log.configure(now.log_level, now.log_format)
    replica = Clock(
        now,
        publisher=BatchPublisher(now.rabbitmq_url),
        depths=DepthGauge(now.rabbitmq_url),
        hourly=make_partitions,
    )
    stop_on_signals(replica)
    logger().info(Event.PROCESS_STARTED, process="clock")
    replica.run()
    logger().info(Event.PROCESS_STOPPED, process="clock")


def make_partitions(session: Session) -> None:
    """Create the partitions of the coming months and log each new one."""
    for name in create_ahead(session, utc_now()):
        logger().info(Event.PARTITION_CREATED, partition=name)


@click.command(cls=Command)
def inbox() -> None:
    """Catch every mail instead of delivering it, and show it on a page (development)."""
    now = settings()
    log.configure(now.log_level, now.log_format)
    serve(now.inbox_host, now.inbox_smtp_port, now.inbox_http_port, now.state_dir / "inbox")


@click.command(cls=Command)
def inbound() -> None:
    """Take what comes back: mail to the inbound domain (SMTP), and mail in accounts' mailboxes."""
    now = settings()
    log.configure(now.log_level, now.log_format)
    receive(now)


@click.command(cls=Command)
@click.option("--inbox", "has_inbox", is_flag=True, help="Also run the development inbox.")
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the processes' logs; by default beside the state directory.",
)
def up(has_inbox: bool, logs: Path | None) -> None:  # noqa: FBT001 - a flag of the command line
    """Run web, tracking, workers, clock and inbound on this machine until Ctrl-C."""
    now = settings()
    env = read_env_file(Path(".env").resolve()) | dict(os.environ)
    extra = [fleet.inbox(env)] if has_inbox else []
    folder = logs or now.state_dir.parent / "logs"
    for name, url in addresses(now).items():
        click.echo(f"{name:<9} {url}", err=True)
    click.echo(f"{'logs':<9} {folder}   (Ctrl-C stops everything)", err=True)
    sys.exit(supervise.run([*extra, *fleet.application(env)], folder))


def addresses(now: Settings) -> dict[str, str]:
    """Return where a browser finds the processes."""
    return {
        "console": f"http://{now.web_host}:{now.web_port}/",
        "tracking": now.tracking_url,
        "inbox": f"http://{now.inbox_host}:{now.inbox_http_port}/",
    }


def _become(command: list[str]) -> None:
    """Replace this process, so that signals reach the server itself."""
    os.execv(command[0], command)  # noqa: S606 - no shell: our own interpreter and arguments
