"""Rows for tests to start from, each valid by itself; name only what the test is about."""

import datetime as dt
import hashlib
import itertools
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from app.audit import Author
from app.clock import utc_now
from app.db.session import Session
from app.ids import new_id, new_ids
from app.lifecycle.events import Delta, count
from app.privacy import address_hash
from app.secretbox import SecretBox
from app.smtp.connection import Security
from app.tenancy import apps, email_accounts, queues, smtp_configs
from tests import stack

AUTHOR = Author(name="test")
PEPPER = stack.ADDRESS_PEPPER
BOX = SecretBox({"test": stack.SEALING_KEY}, current="test")

_number = itertools.count(1)


def make_app(session: Session, name: str = "") -> apps.App:
    """An app with its queue "default"."""
    return apps.create(session, name or f"app {next(_number)}", AUTHOR)


def make_queue(session: Session, app_id: UUID, **fields: Any) -> queues.Queue:
    """A queue; `fields` as in queues.NewQueue."""
    given = {"name": f"queue {next(_number)}"} | fields
    return queues.create(session, queues.NewQueue(app_id=app_id, **given), AUTHOR)


def default_queue(session: Session, app_id: UUID) -> queues.Queue:
    """The queue every app is born with."""
    return queues.get_by_name(session, app_id, apps.DEFAULT_QUEUE)


def make_smtp_config(session: Session, app_id: UUID, **fields: Any) -> smtp_configs.SmtpConfig:
    """A server on this machine, in clear and without a login."""
    given: dict[str, Any] = {"name": f"server {next(_number)}", "host": "127.0.0.1", "port": 1025}
    new = smtp_configs.NewSmtpConfig(
        app_id=app_id, **{**given, "security": Security.NONE, **fields}
    )
    return smtp_configs.create(session, BOX, new, AUTHOR)


def make_account(
    session: Session, app_id: UUID, *, server: Mapping[str, Any] | None = None, **fields: Any
) -> email_accounts.Account:
    """An account without limits, with a server of its own (`server`: as in NewSmtpConfig)."""
    if "smtp_config_id" not in fields:
        fields["smtp_config_id"] = make_smtp_config(session, app_id, **(server or {})).id
    given = {"address": f"sender{next(_number)}@example.org", "display_name": "Sender"} | fields
    new = email_accounts.NewAccount(app_id=app_id, **given)
    return email_accounts.create(session, new, AUTHOR)


def make_lead(
    session: Session,
    app_id: UUID,
    email: str = "",
    *,
    timezone: str | None = None,
    variables: Mapping[str, Any] | None = None,
) -> UUID:
    """A lead; returns its id."""
    address = email or f"lead{next(_number)}@example.com"
    row = {
        "id": new_id(),
        "app_id": app_id,
        "email": address,
        "email_hash": address_hash(address, PEPPER),
        "timezone": timezone,
        "variables": Jsonb(dict(variables or {"firstName": "Ana"})),
    }
    insert(session, "leads", row)
    return row["id"]


def make_template_version(
    session: Session,
    app_id: UUID,
    *,
    subject: str = "Hello {{firstName}}",
    html: str = "<p>Hello {{firstName}}</p>",
    text: str = "",
) -> UUID:
    """Version 1 of a new template, not checked by the template room; returns the version's id."""
    template = {"id": new_id(), "app_id": app_id, "name": f"template {next(_number)}"}
    insert(session, "templates", template)
    version = {
        "id": new_id(),
        "app_id": app_id,
        "template_id": template["id"],
        "subject": subject,
        "html": html,
        "body_text": text,
        "variables": ["firstName"],
        "content_hash": hashlib.sha256(f"{subject}\0{html}\0{text}".encode()).digest()[:16],
    }
    insert(session, "template_versions", version)
    return version["id"]


def make_campaign(
    session: Session, app_id: UUID, *, account_id: UUID | None = None, **fields: Any
) -> UUID:
    """A running campaign that is always open, with one account and no step; returns its id."""
    row = {
        "id": new_id(),
        "app_id": app_id,
        "queue_id": fields.pop("queue_id", None) or default_queue(session, app_id).id,
        "name": f"campaign {next(_number)}",
        "status": "running",
        **fields,
    }
    insert(session, "campaigns", row)
    account = account_id or make_account(session, app_id).id
    rotation = {"campaign_id": row["id"], "account_id": account, "app_id": app_id}
    insert(session, "campaign_accounts", rotation)
    return row["id"]


def make_step(
    session: Session,
    campaign_id: UUID,
    *,
    position: int = 1,
    wait_hours: float = 0,
    template_version_id: UUID | None = None,
) -> UUID:
    """A step of a campaign with one variant; returns the step's id."""
    query = "SELECT app_id FROM campaigns WHERE id = %s"
    ((app_id,),) = session.execute(query, (campaign_id,)).fetchall()
    step = {
        "id": new_id(),
        "app_id": app_id,
        "campaign_id": campaign_id,
        "position": position,
        "wait_duration_hours": wait_hours,
    }
    insert(session, "campaign_sequence_steps", step)
    version = template_version_id or make_template_version(session, app_id)
    variant = {"id": new_id(), "app_id": app_id, "step_id": step["id"]}
    insert(session, "campaign_step_variants", variant | {"template_version_id": version})
    return step["id"]


def make_message(session: Session, app_id: UUID, **fields: Any) -> UUID:
    """A submitted message with content of its own; returns its id."""
    row = {"id": new_id(), "app_id": app_id, "recipients": 1, **fields}
    if "template_version_id" not in row:
        row["template_version_id"] = make_template_version(session, app_id)
    for name in {"addressing", "headers"} & row.keys():
        row[name] = Jsonb(row[name])
    insert(session, "messages", row)
    return row["id"]


def attach(session: Session, app_id: UUID, message_id: UUID, content: bytes, **place: Any) -> UUID:
    """Attach a file to a message (`place`: columns of message_attachments); returns its id."""
    file = {
        "id": new_id(),
        "app_id": app_id,
        "content_hash": hashlib.sha256(content).digest(),
        "content_type": place.pop("content_type", "application/octet-stream"),
        "size_bytes": len(content),
        "content": content,
    }
    insert(session, "attachments", file)
    row = {"message_id": message_id, "app_id": app_id, "attachment_id": file["id"]}
    insert(session, "message_attachments", {"position": 0, "filename": "file.bin"} | row | place)
    return file["id"]


def make_email(session: Session, app_id: UUID, **fields: Any) -> UUID:
    """An e-mail, scheduled and due now unless `fields` say otherwise; returns its id."""
    address = fields.pop("to_email", f"recipient{next(_number)}@example.com")
    status = fields.get("status", "scheduled")
    row = {
        "id": UUID(new_ids(1, utc_now())[0]),
        "app_id": app_id,
        "to_email": address,
        "to_domain": address.rpartition("@")[2],
        "to_hash": address_hash(address, PEPPER),
        "variables": Jsonb(fields.pop("variables", {"firstName": "Ana"})),
        "due_at": utc_now() - dt.timedelta(seconds=1) if status == "scheduled" else None,
        **fields,
    }
    # Only what the test left open is made: a campaign's mails share account, queue and version.
    if "queue_id" not in row:
        row["queue_id"] = default_queue(session, app_id).id
    if "account_id" not in row:
        row["account_id"] = make_account(session, app_id).id
    if "template_version_id" not in row:
        row["template_version_id"] = make_template_version(session, app_id)
    insert(session, "emails", row)
    return row["id"]


def count_mails(session: Session, app_id: UUID, account_id: UUID, **kinds: int) -> None:
    """Count so many mails of each kind (sent=900, bounced=3) for an account, as of now."""
    others = dict.fromkeys(("queue_id", "campaign_id", "step_id"))
    dimensions = others | {"app_id": app_id, "account_id": account_id}
    count(session, [Delta(kind=kind, n=n, **dimensions) for kind, n in kinds.items()])


def insert(session: Session, table: str, row: Mapping[str, Any]) -> None:
    """Insert one row as it is."""
    columns, binds = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    session.execute(f"INSERT INTO {table} ({columns}) VALUES ({binds})", dict(row))
