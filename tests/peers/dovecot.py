"""A Dovecot of the tests' own: mailboxes of made-up people, over TLS, in a folder of its own.

It is Debian's, unpacked. As root it gives up its rights to accounts every Debian has.
"""

import grp
import os
import pwd
import secrets
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from imapclient import IMAPClient

from infra.load.running import running, wait_for_port
from infra.local import programs
from infra.local.ports import LOOPBACK, free_port
from infra.local.programs import Program

PASSWORD = 'pä"ss'
_OUTSIDE = Path("/var/tmp")  # where the accounts it runs as may enter
_LIBRARY, _MODULES = "libdovecot.so.0", b"/usr/lib/dovecot/modules"
SOUTH = "Süd"  # a folder whose name IMAP spells in another way (RFC 3501, 5.1.3)

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
libexec_dir = {root}/usr/lib/dovecot
import_environment = LD_LIBRARY_PATH
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {login}
protocols = imap
listen = {address}
ssl = required
ssl_cert = <{folder}/certificate.pem
ssl_key = <{folder}/certificate.pem
auth_mechanisms = plain
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u:UTF-8
first_valid_uid = 1
namespace inbox {{
  inbox = yes
  mailbox {south} {{
    auto = create
  }}
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={folder}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {starttls_port}
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dovecot:
    """A running Dovecot. `port` speaks TLS, `starttls_port` STARTTLS; every user has PASSWORD."""

    port: int
    starttls_port: int
    folder: Path
    ca_file: str

    @contextmanager
    def client(self, user: str, folder: str = "INBOX") -> Iterator[IMAPClient]:
        """Open a folder as its owner does, to look and to change it."""
        context = ssl.create_default_context(cafile=self.ca_file)
        with IMAPClient(LOOPBACK, self.port, ssl_context=context, timeout=60) as client:
            client.plain_login(user, PASSWORD)
            client.select_folder(folder)
            yield client

    def deliver(self, user: str, *mails: bytes, folder: str = "INBOX") -> None:
        """Put mails into a folder."""
        with self.client(user, folder) as client:
            for raw in mails:
                client.append(folder, raw)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@contextmanager
def dovecot(certificate: Path, ca_file: str) -> Iterator[Dovecot]:
    """Run one; the test is skipped where none can run. `certificate` is for 127.0.0.1."""
    program = programs.find("dovecot")
    if program is None:
        pytest.skip("there is no Dovecot, and none can be fetched (apt-get)")
    folder = Path(tempfile.mkdtemp(prefix="mailqueue-dovecot-", dir=_OUTSIDE))
    folder.chmod(0o755)
    made = Dovecot(port=free_port(), starttls_port=free_port(), folder=folder, ca_file=ca_file)
    try:
        _configure(program, made, certificate)
        command = _command(program, folder / "dovecot.conf")
        with (
            _at_home(program, folder) as env,
            running(command, folder / "output", env=env) as process,
        ):
            wait_for_port(made.port, process)
            yield made
    finally:
        shutil.rmtree(folder)


def _command(program: Program, configuration: Path) -> list[str]:
    """Return what starts it as it starts itself, but for the path of doveconf, which is burnt in."""
    read = [f"{program.root}/usr/bin/doveconf", "-f", "service=master", "-c", str(configuration)]
    return [*read, "-m", "master", "-e", *program.command("-F", "-c", configuration)]


@contextmanager
def _at_home(program: Program, folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment in which it finds its modules: their path is burnt into a library.

    A copy of that library names another path, as long as theirs, which leads to them.
    """
    env = program.environment
    if program.root == Path("/"):
        yield env
        return
    link = _OUTSIDE / f"mq-{secrets.token_hex(6)}"
    own = program.root / "usr/lib/dovecot"
    library = (own / _LIBRARY).read_bytes()
    assert len(str(link)) == len(_MODULES)
    assert library.count(_MODULES) == 1
    (folder / _LIBRARY).write_bytes(library.replace(_MODULES, str(link).encode()))
    link.symlink_to(own / "modules")
    try:
        yield env | {"LD_LIBRARY_PATH": f"{folder}:{env['LD_LIBRARY_PATH']}"}
    finally:
        link.unlink()


def _configure(program: Program, made: Dovecot, certificate: Path) -> None:
    user, login = ("games", "nobody") if os.geteuid() == 0 else (_me(), _me())
    account = pwd.getpwnam(user)
    mail = made.folder / "mail"
    mail.mkdir()
    os.chown(mail, account.pw_uid, account.pw_gid)
    shutil.copy(certificate, made.folder / "certificate.pem")
    text = _CONFIG.format(
        folder=made.folder,
        root=program.root,
        user=user,
        group=grp.getgrgid(account.pw_gid).gr_name,
        login=login,
        address=LOOPBACK,
        south=SOUTH,
        password=PASSWORD,
        starttls_port=made.starttls_port,
        port=made.port,
    )
    (made.folder / "dovecot.conf").write_text(text)


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
