"""A Postfix of the tests' own: mails for one domain go to one port, all others to another.

It is Debian's, unpacked and configured in a folder of its own; its master needs root, and two
accounts that own its queue: those every Debian has, and nothing else runs as.
"""

import grp
import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.load.running import running, wait_for_port
from infra.local import programs
from infra.local.ports import free_port
from infra.local.programs import Program

_OWNER, _GROUP = "games", "games"  # of the queue
_DROPS = "news"  # the group of the folders mail is dropped into
_QUEUE = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
    "private", "public", "saved", "trace",
)  # fmt: skip

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {root}/usr/lib/postfix/sbin
command_directory = {root}/usr/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {folder}/config
maillog_file = {folder}/log
mail_owner = {owner}
setgid_group = {drops}
default_privs = nobody
import_environment = MAIL_CONFIG LD_LIBRARY_PATH
myhostname = mx.postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
alias_maps =
local_recipient_maps =
recipient_delimiter =
default_transport = smtp:[127.0.0.1]:{onward}
transport_maps = inline:{{ {domain}=smtp:[127.0.0.1]:{home} }}
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
maximal_queue_lifetime = {lifetime_s}s
bounce_queue_lifetime = 1d
delay_warning_time = 1s
notify_classes =
smtp_tls_security_level = none
"""
_MASTER = """\
{port}      inet  n - n - - smtpd
cleanup     unix  n - n - 0 cleanup
qmgr        unix  n - n 300 1 qmgr
rewrite     unix  - - n - - trivial-rewrite
bounce      unix  - - n - 0 bounce
defer       unix  - - n - 0 bounce
trace       unix  - - n - 0 bounce
smtp        unix  - - n - - smtp
error       unix  - - n - - error
retry       unix  - - n - - error
anvil       unix  - - n - 1 anvil
scache      unix  - - n - 1 scache
postlog     unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Where mail goes: for `domain` to the port `home`, for all others to the port `onward`."""

    domain: str
    home: int
    onward: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Postfix:
    """A running Postfix: where it takes mail, and what it said."""

    port: int
    folder: Path

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def postfix(routes: Routes, *, lifetime_s: int) -> Iterator[Postfix]:
    """Run one that gives a mail up after `lifetime_s`; the test is skipped where none can run."""
    program = _program()
    folder = Path(tempfile.mkdtemp(prefix="mailqueue-postfix-", dir="/var/tmp"))
    folder.chmod(0o755)  # its owner is not who made it
    found = Postfix(port=free_port(), folder=folder)
    try:
        _configure(program, found, routes, lifetime_s)
        command = [f"{program.root}/usr/lib/postfix/sbin/master", "-c", f"{folder}/config", "-d"]
        with running(command, folder / "output", env=program.environment) as process:
            wait_for_port(found.port, process)
            yield found
    finally:
        shutil.rmtree(folder)


def _program() -> Program:
    if os.geteuid():
        pytest.skip("Postfix's master runs as root only")
    program = programs.find("postfix")
    if program is None:
        pytest.skip("there is no Postfix, and none can be fetched (apt-get)")
    return program


def _configure(program: Program, made: Postfix, routes: Routes, lifetime_s: int) -> None:
    owner, drops = pwd.getpwnam(_OWNER).pw_uid, grp.getgrnam(_DROPS).gr_gid
    for name in ("config", "queue", "queue/pid", "data"):
        (made.folder / name).mkdir()
    for name in _QUEUE:
        (made.folder / "queue" / name).mkdir(mode=0o700)
        os.chown(made.folder / "queue" / name, owner, -1)
    for name, mode in (("maildrop", 0o730), ("public", 0o710)):
        os.chown(made.folder / "queue" / name, owner, drops)
        (made.folder / "queue" / name).chmod(mode)
    os.chown(made.folder / "data", owner, -1)
    facts: Mapping[str, object] = {
        "folder": made.folder,
        "root": program.root,
        "owner": _OWNER,
        "drops": _DROPS,
        "domain": routes.domain,
        "home": routes.home,
        "onward": routes.onward,
        "lifetime_s": lifetime_s,
    }
    (made.folder / "config/main.cf").write_text(_MAIN.format(**facts))
    (made.folder / "config/master.cf").write_text(_MASTER.format(port=f"127.0.0.1:{made.port}"))
