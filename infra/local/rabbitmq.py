"""A private RabbitMQ node with its management console and Prometheus endpoint.

The scripts in lib/rabbitmq_server-*/sbin are used: those in /usr/sbin switch to another user. Its
own epmd runs in the foreground as a child that starts before the node and stops after it.
"""

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from infra.local import debian
from infra.local.places import ROOT, Place, password, write_private
from infra.local.ports import LOOPBACK
from infra.local.sources import Binaries, Finders, Service, Source, find
from infra.local.supervise import EPMD_TIER, SERVICES_TIER, Process

USER = VHOST = "mailqueue"

_SHARED = ROOT / "infra/rabbitmq"
_PACKAGES = (
    "rabbitmq-server",
    "erlang-base",
    "erlang-asn1",
    "erlang-crypto",
    "erlang-eldap",
    "erlang-inets",
    "erlang-mnesia",
    "erlang-os-mon",
    "erlang-parsetools",
    "erlang-public-key",
    "erlang-runtime-tools",
    "erlang-ssl",
    "erlang-syntax-tools",
    "erlang-tools",
    "erlang-xmerl",
    "libsctp1",
)
_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


def finders() -> Finders:
    """Return how each source finds the folder of RabbitMQ's scripts."""
    return {Source.SYSTEM: _system, Source.DEBIAN: _debian}


def prepare(stack: Place, ports: Mapping[str, int]) -> tuple[Process, Process]:
    """Return epmd and the node, in the order in which they start."""
    binaries = find(Service.RABBITMQ, finders())
    home = stack.folder("rabbitmq")
    _write_configuration(stack, home, ports)
    env = _environment(binaries, home, ports)
    epmd = Process(
        name="epmd",
        command=[_epmd(env), "-port", str(ports["epmd"]), "-address", LOOPBACK],
        env=env,
        tier=EPMD_TIER,
    )
    node = Process(
        name="rabbitmq",
        command=[f"{binaries.folder}/rabbitmq-server"],
        env=env,
        cwd=home,
        grace_s=60,
        tier=SERVICES_TIER,
    )
    return epmd, node


def stopped_by_kill(node: Process) -> Process:
    """Return a throw-away node: a graceful stop would take six seconds and save nothing."""
    return Process(
        name=node.name,
        command=node.command,
        env=node.env,
        cwd=node.cwd,
        stop_signal=signal.SIGKILL,
        tier=node.tier,
    )


def is_ready(ports: Mapping[str, int]) -> bool:
    """Tell whether the broker answers AMQP and the console listens; OSError while it does not."""
    with socket.create_connection((LOOPBACK, ports["rabbitmq"]), timeout=2) as connection:
        connection.sendall(_PROTOCOL_HEADER)
        is_speaking = connection.recv(1) == b"\x01"
    socket.create_connection((LOOPBACK, ports["rabbitmq_console"]), timeout=2).close()
    return is_speaking


def url(stack: Place, ports: Mapping[str, int]) -> str:
    """Return the RABBITMQ_URL of this stack."""
    return f"amqp://{USER}:{password(stack)}@{LOOPBACK}:{ports['rabbitmq']}/{VHOST}"


def management_url(stack: Place, ports: Mapping[str, int]) -> str:
    """Return the management API's address, with the login in it."""
    return f"http://{USER}:{password(stack)}@{LOOPBACK}:{ports['rabbitmq_console']}"


def _system() -> Binaries | None:
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"))
    return Binaries(folder=found[-1], source=Source.SYSTEM) if found else None


def _debian() -> Binaries | None:
    if not debian.is_possible():
        return None
    root = debian.unpack(_PACKAGES)
    found = sorted(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"))
    erlang = root / "usr/lib/erlang"
    runtime = max(erlang.glob("erts-*/bin"))
    env = {
        "PATH": f"{_relocated_erl(erlang, runtime)}:{runtime}:{os.environ.get('PATH', '')}",
        "LD_LIBRARY_PATH": debian.library_path(),
    }
    return Binaries(folder=found[-1], source=Source.DEBIAN, env=env)


def _relocated_erl(erlang: Path, runtime: Path) -> Path:
    """Return a folder with an `erl` that works where Erlang was unpacked.

    Debian's own has /usr/lib/erlang burnt in.
    """
    folder = debian.OPT / "bin"
    folder.mkdir(exist_ok=True)
    text = (
        "#!/bin/sh\n"
        f'ROOTDIR="{erlang}" BINDIR="{runtime}" EMU=beam PROGNAME=erl\n'
        "export ROOTDIR BINDIR EMU PROGNAME\n"
        'exec "$BINDIR/erlexec" "$@"\n'
    )
    write_private(folder / "erl", text)
    (folder / "erl").chmod(0o755)
    return folder


def _epmd(env: Mapping[str, str]) -> str:
    found = shutil.which("epmd", path=env.get("PATH"))
    return found or str(max(Path("/usr/lib/erlang").glob("erts-*/bin/epmd")))


def _environment(binaries: Binaries, home: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the node's environment: ours without any RabbitMQ or Erlang setting in it."""
    inherited = {k: v for k, v in os.environ.items() if not re.match("RABBITMQ_|ERL_", k)}
    return {
        **inherited,
        **binaries.env,
        "HOME": str(home / "home"),  # the Erlang cookie
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": "mailqueue@localhost",
        "RABBITMQ_DIST_PORT": str(ports["rabbitmq_cluster"]),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(home / "conf/rabbitmq"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "conf/advanced"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "conf/enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "conf"),
        "RABBITMQ_SCHEMA_DIR": str(home / "schema"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "node.pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def _write_configuration(stack: Place, home: Path, ports: Mapping[str, int]) -> None:
    """Write what the node reads at boot: the shared settings, our ports, vhost and user."""
    definitions = home / "conf/definitions"
    for folder in ("home", "conf/definitions", "schema", "data", "log"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    shared = (_SHARED / "rabbitmq.conf").read_text()
    settings = re.sub(r"(?m)^load_definitions *=.*$", f"load_definitions = {definitions}", shared)
    (home / "conf/rabbitmq.conf").write_text(
        f"{settings}\n"
        f"listeners.tcp.default = {LOOPBACK}:{ports['rabbitmq']}\n"
        f"management.tcp.ip = {LOOPBACK}\n"
        f"management.tcp.port = {ports['rabbitmq_console']}\n"
        f"prometheus.tcp.ip = {LOOPBACK}\n"
        f"prometheus.tcp.port = {ports['rabbitmq_metrics']}\n"
        "disk_free_limit.absolute = 50MB\n"
    )
    (home / "conf/enabled_plugins").write_text((_SHARED / "enabled_plugins").read_text())
    shutil.copy(_SHARED / "definitions.json", definitions / "10-mailqueue.json")
    write_private(definitions / "20-user.json", json.dumps(user_definition(password(stack))))


def user_definition(secret: str) -> dict[str, object]:
    """Return the definitions of our user: a node that loads definitions creates no default one."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [{"name": USER, "password": secret, "tags": "administrator"}],
        "permissions": [{"user": USER, "vhost": VHOST, **everything}],
    }
