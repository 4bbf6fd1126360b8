"""Where the answers to an account arrive: an IMAP folder. The password is sealed in the row."""

import dataclasses
import datetime as dt
import functools
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.audit import Author, entry_of, note_change, record
from app.db.session import Session, one
from app.errors import InputInvalid, NotFound
from app.secretbox import Place, SecretBox
from app.smtp.connection import Security, Server, Timeouts
from app.smtp.resolve import networks_in
from app.tenancy import checks

_entry = functools.partial(entry_of, "mailbox")

PORTS = range(1, 65_536)
INTERVALS_S = range(10, 86_401)

_LONGEST = 500
_TIMEOUTS = Timeouts(connect_s=15.0, tls_s=15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """A folder that is looked into every `interval_s`, or never while its `status` is paused."""

    app_id: UUID
    account_id: UUID
    host: str
    username: str
    password: str = field(repr=False)
    port: int = 993
    security: Security = Security.TLS
    folder: str = "INBOX"
    interval_s: int = 60
    status: str = "active"
    created_at: dt.datetime | None = None

    @property
    def id(self) -> UUID:
        """Return its account's id: an account has one mailbox."""
        return self.account_id

    @property
    def place(self) -> str:
        """Return which folder this is: elsewhere, UIDs mean other mails."""
        return f"{self.username}@{self.host}/{self.folder}"

    def server(self, allowed_networks: str) -> Server:
        """Return how to reach it; `allowed_networks` as in the setting for SMTP servers."""
        return Server(
            host=self.host,
            port=self.port,
            security=self.security,
            username=self.username,
            password=self.password,
            allowed_networks=networks_in(allowed_networks),
            timeouts=_TIMEOUTS,
        )


_COLUMNS = (
    "account_id, app_id, host, port, security, username, password_sealed, folder, interval_s,"
    " status, created_at"
)
_FIND = f"SELECT {_COLUMNS} FROM mailboxes WHERE app_id = %(app_id)s AND account_id = %(id)s"  # noqa: S608 - constants of this module
_SET = """
INSERT INTO mailboxes
    (account_id, app_id, host, port, security, username, password_sealed, folder, interval_s, status)
VALUES
    (%(account_id)s, %(app_id)s, %(host)s, %(port)s, %(security)s, %(username)s,
     %(password_sealed)s, %(folder)s, %(interval_s)s, %(status)s)
ON CONFLICT (account_id) DO UPDATE SET
    host = excluded.host, port = excluded.port, security = excluded.security,
    username = excluded.username, password_sealed = excluded.password_sealed,
    folder = excluded.folder, interval_s = excluded.interval_s, status = excluded.status
WHERE mailboxes.app_id = excluded.app_id"""
_DELETE = "DELETE FROM mailboxes WHERE app_id = %(app_id)s AND account_id = %(id)s"
# A foreign key alone would take another app's account.
_HAS_ACCOUNT = "SELECT FROM email_accounts WHERE app_id = %(app_id)s AND id = %(id)s"


def find(session: Session, box: SecretBox, app_id: UUID, account_id: UUID) -> Mailbox | None:
    """Return the mailbox of an account, None when it has none; raises SealBroken."""
    binds = {"app_id": app_id, "id": account_id}
    row = session.cursor(row_factory=dict_row).execute(_FIND, binds).fetchone()
    if row is None:
        return None
    sealed = row.pop("password_sealed")
    password = box.open(sealed, **_place(app_id, account_id))
    return Mailbox(**row | {"security": Security(row["security"]), "password": password})


def get(session: Session, box: SecretBox, app_id: UUID, account_id: UUID) -> Mailbox:
    """Return the mailbox of an account; raises NotFound, SealBroken."""
    found = find(session, box, app_id, account_id)
    if found is None:
        raise NotFound(f"The account {account_id} has no mailbox.", field="account")
    return found


def put(session: Session, box: SecretBox, wanted: Mailbox, author: Author) -> Mailbox:
    """Set the mailbox of an account, in place of the one it has; raises InputInvalid, NotFound."""
    checked = _checked(wanted)
    key = (checked.app_id, checked.account_id)
    fields = _said(checked)
    sealed = box.seal(checked.password, **_place(*key))
    with session.transaction():
        if one(session, _HAS_ACCOUNT, {"app_id": key[0], "id": key[1]}) is None:
            raise NotFound(f"There is no account {key[1]} in this app.", field="account")
        before = find(session, box, *key)
        session.execute(_SET, fields | {"password_sealed": sealed})
        if before is None:
            record(session, _entry(checked, author, "created", after=fields))
        else:
            note_change(session, _entry(checked, author, "updated"), _said(before), fields)
        return get(session, box, *key)


def delete(session: Session, mailbox: Mailbox, author: Author) -> None:
    """Look into it no more, and forget its password."""
    binds = {"app_id": mailbox.app_id, "id": mailbox.account_id}
    with session.transaction():
        if session.execute(_DELETE, binds).rowcount:
            before = {"host": mailbox.host, "username": mailbox.username}
            record(session, _entry(mailbox, author, "deleted", before=before))


def _said(mailbox: Mailbox) -> dict[str, Any]:
    fields = dataclasses.asdict(mailbox)
    del fields["created_at"]
    return fields


def _place(app_id: UUID, account_id: UUID) -> Place:
    return Place(table="mailboxes", column="password_sealed", row_id=account_id, app_id=app_id)


def _checked(wanted: Mailbox) -> Mailbox:
    if wanted.security is Security.NONE:
        raise InputInvalid(
            "A password is never sent in clear.",
            why="The mailbox's security is none.",
            fix="Choose tls (port 993) or starttls (port 143).",
            field="security",
        )
    for name in ("username", "password", "folder"):
        _require_line(getattr(wanted, name), name)
    checks.within(wanted.port, PORTS, "port")
    checks.within(wanted.interval_s, INTERVALS_S, "interval_s")
    return dataclasses.replace(wanted, host=checks.host(wanted.host))


def _require_line(value: str, name: str) -> None:
    if not value or len(value) > _LONGEST or not value.isprintable():
        raise InputInvalid(
            f"The {name} cannot be used.",
            why=f"It is empty, longer than {_LONGEST} characters or not printable.",
            field=name,
        )
