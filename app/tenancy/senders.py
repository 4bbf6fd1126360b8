"""Accounts that open themselves: an app's first mail from a new address needs no paperwork.

The account is made on the app's server (the one named "default", else its oldest). An app that
lists `from_domains` in its settings sends from these alone.
"""

from uuid import UUID

from app.audit import Author
from app.db.session import Session, one
from app.errors import Conflict, InputInvalid
from app.mail.address import domain_of
from app.tenancy import email_accounts
from app.tenancy.email_accounts import NewAccount

_SERVER = """
SELECT id FROM smtp_configs WHERE app_id = %s ORDER BY name = 'default' DESC, id LIMIT 1"""
_DOMAINS = "SELECT settings -> 'from_domains' FROM apps WHERE id = %s"
_EXISTING = "SELECT id FROM email_accounts WHERE app_id = %s AND address = %s"
_FIRST = """
SELECT address FROM email_accounts WHERE app_id = %s AND status = 'active' ORDER BY id LIMIT 1"""


def open_account(
    session: Session, app_id: UUID, address: str, display_name: str, author: Author
) -> UUID:
    """Return a new account of `address`, or the one somebody else opened at this moment.

    Raises InputInvalid (field `from`) when the app has no server or may not use the domain.
    """
    _require_allowed(session, app_id, address)
    server = one(session, _SERVER, (app_id,))
    if server is None:
        raise InputInvalid(
            f"No account of this app sends as {address}.",
            why="It cannot be opened: the app has no SMTP server.",
            fix="Add one: POST /v1/smtp-configs.",
            field="from",
        )
    new = NewAccount(
        app_id=app_id, smtp_config_id=server[0], address=address, display_name=display_name
    )
    try:
        return email_accounts.create(session, new, author).id
    except Conflict:
        found = one(session, _EXISTING, (app_id, address))
        if found is None:
            raise
        account_id: UUID = found[0]
        return account_id


def _require_allowed(session: Session, app_id: UUID, address: str) -> None:
    row = one(session, _DOMAINS, (app_id,))
    allowed = row[0] if row else None
    if isinstance(allowed, list) and domain_of(address) not in {
        str(one).lower() for one in allowed
    }:
        raise InputInvalid(
            f"This app does not send as {address}.",
            why=f"It sends from {', '.join(map(str, allowed)) or 'no domain'} alone.",
            fix="Use an address of these domains, or have from_domains of the app changed.",
            field="from",
        )


def first_address(session: Session, app_id: UUID) -> str:
    """Return the address of the app's oldest active account; raises InputInvalid."""
    found = one(session, _FIRST, (app_id,))
    if found is None:
        raise InputInvalid(
            "This app has no sender yet.",
            why="The request names none, and there is no account to take.",
            fix="Create one: POST /v1/email-accounts.",
            field="from",
        )
    address: str = found[0]
    return address
