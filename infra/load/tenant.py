"""The tenant a run sends for: an app with limits, accounts, a template, leads and a planned campaign.

No feature is off: every limit is set (high enough never to bind), addresses are suppressed, opens
and clicks are tracked, events and counters written.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from actors import schedule
from app.assembly.contents import Content
from app.audit import Author
from app.campaigns import campaigns, templates
from app.campaigns.definition import read
from app.campaigns.leads_import import LeadFile, import_csv
from app.clock import utc_now
from app.config import settings
from app.db.session import Session
from app.ids import new_id
from app.policy import suppression
from app.policy.suppression import Reason, Suppression
from app.privacy import address_hash
from app.secretbox import SecretBox
from app.smtp.connection import Security
from app.tenancy import apps, email_accounts, queues, smtp_configs
from infra.load import letters

AUTHOR = Author(name="bench")
ACCOUNTS = 4
NAME = "bench"
_NEVER_BINDS = 10_000_000
_SUPPRESSED_EACH = 200  # every so manyth lead of a campaign is suppressed after it was planned
_BLOCK = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """A planned campaign: what shall arrive is `expected`, the rest is suppressed."""

    app_id: UUID
    campaign_id: UUID
    planned: int
    expected: int


def pepper() -> str:
    """Return the pepper of address hashes."""
    return settings().address_pepper.get_secret_value()


def new_app(session: Session, smtp_port: int) -> UUID:
    """Make an app whose accounts send to a port of this machine; return its id."""
    app = apps.create(session, f"bench {new_id().hex}", AUTHOR)
    queues.create(
        session,
        queues.NewQueue(app_id=app.id, name=NAME, priority=5, per_minute=_NEVER_BINDS),
        AUTHOR,
    )
    for number in range(ACCOUNTS):
        _new_account(session, app.id, number, smtp_port)
    content = Content(subject=letters.SUBJECT, html=letters.HTML, text=letters.TEXT)
    templates.save(session, app.id, NAME, content, AUTHOR)
    return app.id


def account_address(number: int) -> str:
    """Return the address of account `number` of every app made here."""
    return f"news{number}@sender.example.org"


def planned(session: Session, app_id: UUID, leads: int) -> Mailing:
    """Import leads and plan a campaign to them, with nobody at work; nothing leaves yet."""
    with tempfile.TemporaryDirectory() as folder:
        path = letters.write_leads(Path(folder) / "leads.csv", leads)
        import_csv(session, app_id, LeadFile(path=path, pepper=pepper()))
    campaigns.create(session, app_id, read(_definition()), AUTHOR)
    campaign = campaigns.start(session, app_id, NAME, AUTHOR, utc_now())
    while schedule.advance_campaigns(session, settings()):
        pass
    numbers = range(0, leads, _SUPPRESSED_EACH)
    suppress(session, app_id, (letters.address(number) for number in numbers))
    return Mailing(
        app_id=app_id, campaign_id=campaign.id, planned=leads, expected=leads - len(numbers)
    )


def fill_suppressions(session: Session, count: int) -> None:
    """Suppress `count` addresses nobody writes to: a list as long as a real one."""
    for start in range(0, count, _BLOCK):
        numbers = range(start, min(start + _BLOCK, count))
        suppress(session, None, (f"gone{n}@old{n % 50}.example.com" for n in numbers))
    session.execute("ANALYZE suppression_list")


def suppress(session: Session, app_id: UUID | None, addresses: Iterator[str]) -> None:
    """Put addresses on the list of an app, or of every app."""
    key = pepper()
    entries = [
        Suppression(
            app_id=app_id,
            email_hash=address_hash(address, key),
            email=None,
            reason=Reason.MANUAL,
            source=NAME,
        )
        for address in addresses
    ]
    suppression.add_all(session, entries)


def _new_account(session: Session, app_id: UUID, number: int, port: int) -> None:
    box = SecretBox.from_setting(settings().sealing_keys.get_secret_value())
    server = smtp_configs.NewSmtpConfig(
        app_id=app_id, name=f"sink {number}", host="127.0.0.1", port=port, security=Security.NONE
    )
    made = smtp_configs.create(session, box, server, AUTHOR)
    account = email_accounts.NewAccount(
        app_id=app_id,
        smtp_config_id=made.id,
        address=account_address(number),
        display_name="Sender",
        hourly_limit=_NEVER_BINDS,
        daily_limit=_NEVER_BINDS,
    )
    email_accounts.create(session, account, AUTHOR)


def _definition() -> str:
    accounts: Sequence[str] = [account_address(number) for number in range(ACCOUNTS)]
    return (
        f"name: {NAME}\nqueue: {NAME}\naccounts: [{', '.join(accounts)}]\n"
        f"steps:\n  - template: {NAME}\n"
    )
