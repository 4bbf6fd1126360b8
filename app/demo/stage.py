"""What the demo needs before it starts: an app, a server, senders, templates, leads, a campaign.

Everything is looked for first and made when it is absent, so seeding twice changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from app.assembly.contents import Content
from app.audit import Author
from app.campaigns import campaigns, definition, templates
from app.campaigns.campaigns import Campaign
from app.campaigns.leads_import import ImportResult, LeadFile, Progress, import_csv
from app.cli.campaigns import read_definition
from app.cli.templates import read_content
from app.config import Settings
from app.db.session import Session
from app.errors import NotFound
from app.secretbox import SecretBox
from app.smtp.connection import Security
from app.tenancy import apps, email_accounts, smtp_configs
from app.tenancy.apps import App
from app.tenancy.email_accounts import NewAccount
from app.tenancy.smtp_configs import NewSmtpConfig

FOLDER = Path(__file__).parents[2] / "infra" / "local" / "demo"
DEMO = Author(name="demo")
SENDERS = (
    ("zoe@roasters.example", "Zoë from Example Roasters"),
    ("sam@roasters.example", "Sam from Example Roasters"),
    ("lena@roasters.example", "Lena from Example Roasters"),
)

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What was set up."""

    app: App
    campaign: Campaign
    imported: ImportResult


def subjects() -> tuple[str, ...]:
    """Return the constant part of each step's subject: by it a mail's step is known."""
    return ("café guide", "A tasting for", "Last one,")


def set_up(session: Session, now: Settings, app_name: str, progress: Progress) -> Stage:
    """Make what is missing for the demo in the app `app_name`; the campaign is left a draft."""
    app = _or(lambda: apps.get_by_name(session, app_name), lambda: _create_app(session, app_name))
    server_id = _server(session, now, app)
    for address, name in SENDERS:
        _sender(session, app, server_id, (address, name))
    for path in sorted((FOLDER / "templates").glob("*.html")):
        templates.save(session, app.id, path.stem, _content(path), DEMO)
    file = LeadFile(
        path=FOLDER / "leads.csv",
        pepper=now.address_pepper.get_secret_value(),
        rejects_path=now.state_dir / "demo.rejects.csv",
    )
    imported = import_csv(session, app.id, file, progress)
    return Stage(app=app, campaign=_campaign(session, app), imported=imported)


def _or(find: Callable[[], Found], make: Callable[[], Found]) -> Found:
    try:
        return find()
    except NotFound:
        return make()


def _create_app(session: Session, name: str) -> App:
    return apps.create(session, name, DEMO)


def _server(session: Session, now: Settings, app: App) -> UUID:
    box = SecretBox.from_setting(now.sealing_keys.get_secret_value())
    new = NewSmtpConfig(
        app_id=app.id,
        name=f"inbox {now.inbox_smtp_port}",
        host=now.inbox_host,
        port=now.inbox_smtp_port,
        security=Security.NONE,
    )
    found = _or(
        lambda: smtp_configs.get_by_name(session, box, app.id, new.name),
        lambda: smtp_configs.create(session, box, new, DEMO),
    )
    return found.id


def _sender(session: Session, app: App, server_id: UUID, sender: tuple[str, str]) -> None:
    address, name = sender
    new = NewAccount(app_id=app.id, smtp_config_id=server_id, address=address, display_name=name)
    _or(
        lambda: email_accounts.get_by_address(session, app.id, address),
        lambda: email_accounts.create(session, new, DEMO),
    )


def _content(html_file: Path) -> Content:
    text_file = html_file.with_suffix(".txt")
    return read_content(None, html_file, text_file if text_file.exists() else None)


def _campaign(session: Session, app: App) -> Campaign:
    described: definition.CampaignDefinition = read_definition(FOLDER / "campaign.yaml")
    return _or(
        lambda: campaigns.get(session, app.id, described.name),
        lambda: campaigns.create(session, app.id, described, DEMO),
    )
