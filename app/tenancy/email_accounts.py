"""Sender identities: an address, the server it sends through, and how fast it may."""

import dataclasses
import datetime as dt
import functools
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from psycopg.rows import class_row

from app.audit import Author, entry_of, note_change, record
from app.db.session import Session, one
from app.errors import InputInvalid, NotFound
from app.ids import new_id
from app.lifecycle import transitions
from app.tenancy import checks

_entry = functools.partial(entry_of, "email_account")

LIMITS = range(1, 10_000_001)
GAPS_MS = range(86_400_001)

_VERBS = {"active": "resumed", "paused": "paused"}
_WARMUP_GROWTHS = (Decimal("1.01"), Decimal(10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How fast an account may send; None = nothing limits. Changes hold for mail on its way."""

    hourly_limit: int | None = None
    daily_limit: int | None = None
    min_gap_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount(Limits):
    """An account to create. Warm-up: `warmup_daily_start` mails a day, times growth each day.

    `codes_replies`: Reply-To is an address of the inbound domain that names the mail, so that
    answers stop sequences; without an inbound domain it is `reply_to`.
    """

    app_id: UUID
    smtp_config_id: UUID
    address: str
    company_id: UUID | None = None
    display_name: str = ""
    reply_to: str | None = None
    codes_replies: bool = False
    warmup_started_on: dt.date | None = None
    warmup_daily_start: int | None = None
    warmup_growth: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(NewAccount):
    """An account as it stands; `status` is active or paused."""

    id: UUID
    status: str
    created_at: dt.datetime


NewT = TypeVar("NewT", bound=NewAccount)

_INSERT = """
INSERT INTO email_accounts
    (id, app_id, smtp_config_id, company_id, address, display_name, reply_to, hourly_limit,
     daily_limit, min_gap_ms, warmup_started_on, warmup_daily_start, warmup_growth, codes_replies)
VALUES
    (%(id)s, %(app_id)s, %(smtp_config_id)s, %(company_id)s, %(address)s, %(display_name)s,
     %(reply_to)s, %(hourly_limit)s, %(daily_limit)s, %(min_gap_ms)s, %(warmup_started_on)s,
     %(warmup_daily_start)s, %(warmup_growth)s, %(codes_replies)s)"""
_COLUMNS = """id, app_id, smtp_config_id, company_id, address, display_name, reply_to, hourly_limit,
       daily_limit, min_gap_ms, warmup_started_on, warmup_daily_start, warmup_growth, status,
       created_at, codes_replies"""
# One account, or all of the app when no id is given.
_ACCOUNTS = f"""
SELECT {_COLUMNS} FROM email_accounts
WHERE app_id = %(app_id)s AND (%(id)s::uuid IS NULL OR id = %(id)s) ORDER BY address"""  # noqa: S608 - constants of this module
_PAGE = f"""
SELECT {_COLUMNS} FROM email_accounts
WHERE app_id = %(app_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - as above
_UPDATE = """
UPDATE email_accounts
SET smtp_config_id = %(smtp_config_id)s, company_id = %(company_id)s, address = %(address)s,
    display_name = %(display_name)s, reply_to = %(reply_to)s, hourly_limit = %(hourly_limit)s,
    daily_limit = %(daily_limit)s, min_gap_ms = %(min_gap_ms)s,
    warmup_started_on = %(warmup_started_on)s, warmup_daily_start = %(warmup_daily_start)s,
    warmup_growth = %(warmup_growth)s, status = %(status)s, codes_replies = %(codes_replies)s
WHERE app_id = %(app_id)s AND id = %(id)s"""
_DELETE = "DELETE FROM email_accounts WHERE app_id = %(app_id)s AND id = %(id)s"
# Mails name their account for ever: every one of them was counted.
_HAS_MAIL = """
SELECT FROM email_stats WHERE app_id = %(app_id)s AND account_id = %(id)s
UNION ALL SELECT FROM email_stat_deltas WHERE app_id = %(app_id)s AND account_id = %(id)s LIMIT 1"""
# A foreign key alone would take another app's row.
_HAS_SERVER = "SELECT FROM smtp_configs WHERE app_id = %s AND id = %s"
_HAS_COMPANY = "SELECT FROM companies WHERE app_id = %s AND id = %s"


def create(session: Session, new: NewAccount, author: Author) -> Account:
    """Create an account; raises InputInvalid, Conflict, NotFound (server or company)."""
    checked = _checked(new)
    fields = dataclasses.asdict(checked) | {"id": new_id()}
    with checks.unique("account", checked.address, "address"), session.transaction():
        _require_neighbours(session, checked)
        session.execute(_INSERT, fields)
        made = get(session, checked.app_id, fields["id"])
        record(session, _entry(made, author, "created", after=fields))
    return made


def get(session: Session, app_id: UUID, account_id: UUID) -> Account:
    """Return an account of an app by its id; raises NotFound."""
    cursor = session.cursor(row_factory=class_row(Account))
    found = cursor.execute(_ACCOUNTS, {"app_id": app_id, "id": account_id}).fetchone()
    if found is None:
        raise NotFound(f"There is no account {account_id} in this app.", field="account")
    return found


def get_by_address(session: Session, app_id: UUID, address: str) -> Account:
    """Return an account of an app by its address; raises NotFound suggesting the nearest."""
    accounts = {account.address: account for account in list_all(session, app_id)}
    found = accounts.get(_one_spelling(address))
    if found is None:
        raise checks.not_found("account", address, accounts)
    return found


def _one_spelling(address: str) -> str:
    """Return an address as accounts store it; what is no address is looked for as it is."""
    try:
        return checks.address(address, "address")
    except InputInvalid:
        return address.strip()


def list_all(session: Session, app_id: UUID) -> list[Account]:
    """Return the accounts of an app, by address."""
    cursor = session.cursor(row_factory=class_row(Account))
    return cursor.execute(_ACCOUNTS, {"app_id": app_id, "id": None}).fetchall()


def list_page(
    session: Session, app_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[Account]:
    """Return accounts of an app, newest first, below the id `after`."""
    cursor = session.cursor(row_factory=class_row(Account))
    return cursor.execute(_PAGE, {"app_id": app_id, "after": after, "limit": limit}).fetchall()


def update(session: Session, changed: Account, author: Author) -> Account:
    """Store every field of an account, its status too; mail on its way keeps to it at once.

    Raises InputInvalid naming the field, Conflict (address), NotFound (server or company).
    """
    checked = _checked(changed)
    if checked.status not in _VERBS:
        raise InputInvalid(
            f"An account cannot be {checked.status!r}.",
            why=f"It is {' or '.join(_VERBS)}.",
            field="status",
        )
    fields = dataclasses.asdict(checked)
    with checks.unique("account", checked.address, "address"), session.transaction():
        before = dataclasses.asdict(get(session, changed.app_id, changed.id))
        _require_neighbours(session, checked)
        session.execute(_UPDATE, fields)
        is_moved = before["status"] != checked.status
        verb = _VERBS[checked.status] if is_moved else "updated"
        entry = _entry(changed, author, verb)
        note_change(session, entry, before, fields)
        transitions.ask_again(session, changed.app_id, changed.id)
        return get(session, changed.app_id, changed.id)


def delete(session: Session, account: Account, author: Author) -> None:
    """Delete an account that never sent; raises Conflict."""
    binds = {"app_id": account.app_id, "id": account.id}
    fix = "Pause it instead: the history of its mails names it."
    with checks.unused("account", account.address, fix), session.transaction():
        if one(session, _HAS_MAIL, binds) is not None:
            raise checks.in_use("account", account.address, "It carried mail.", fix)
        if session.execute(_DELETE, binds).rowcount:
            before = {"smtp_config_id": account.smtp_config_id}
            record(session, _entry(account, author, "deleted", before=before))


def update_limits(session: Session, account: Account, limits: Limits, author: Author) -> Account:
    """Change the limits of an account, also while it sends; raises InputInvalid, NotFound."""
    return update(session, dataclasses.replace(account, **_limits_of(limits)), author)


def _checked(new: NewT) -> NewT:
    _check_limits(new)
    _check_warmup(new)
    return dataclasses.replace(
        new,
        address=checks.address(new.address, "address"),
        display_name=checks.line(new.display_name, "display_name"),
        reply_to=None if new.reply_to is None else checks.address(new.reply_to, "reply_to"),
    )


def _check_limits(limits: Limits) -> None:
    checks.within_or_none(limits.hourly_limit, LIMITS, "hourly_limit")
    checks.within_or_none(limits.daily_limit, LIMITS, "daily_limit")
    checks.within(limits.min_gap_ms, GAPS_MS, "min_gap_ms")


def _check_warmup(new: NewAccount) -> None:
    given = (new.warmup_started_on, new.warmup_daily_start, new.warmup_growth)
    checks.within_or_none(new.warmup_daily_start, LIMITS, "warmup_daily_start")
    slowest, fastest = _WARMUP_GROWTHS
    is_partial = None in given and given != (None, None, None)
    if is_partial or not slowest <= (new.warmup_growth or slowest) <= fastest:
        raise InputInvalid(
            "The warm-up cannot be used.",
            why=f"It has a first day, a daily start and a growth from {slowest} to {fastest}.",
            field="warmup_growth",
        )


def _require_neighbours(session: Session, new: NewAccount) -> None:
    server, company = new.smtp_config_id, new.company_id
    if one(session, _HAS_SERVER, (new.app_id, server)) is None:
        raise NotFound(f"There is no SMTP server {server} in this app.", field="smtp_config_id")
    if company and one(session, _HAS_COMPANY, (new.app_id, company)) is None:
        raise NotFound(f"There is no company {company} in this app.", field="company_id")


def _limits_of(limits: Limits) -> dict[str, Any]:
    return {field.name: getattr(limits, field.name) for field in dataclasses.fields(Limits)}
