"""One of everything an app can have, each under the name its paths know it by.

Every name, address and word of an app's things contains its `mark`, so that a search for the mark
in somebody else's answer finds whatever leaked.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.api import catalogue
from app.clock import utc_now
from app.submission import batch
from tests import factories
from tests.api.conftest import Desk, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the document."""

    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the operation id."""
        return str(self.described["operationId"])

    @property
    def places(self) -> list[str]:
        """Return the parameters in the path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def is_open(self) -> bool:
        """Everybody may call it."""
        return self.described.get("security") == []

    def at(self, values: Mapping[str, str]) -> str:
        """Return the path with its parameters filled in."""
        return self.path.format_map(values)


def operations() -> list[Operation]:
    """Return every operation of the document, in its order."""
    return [
        Operation(method=method.upper(), path=path, described=described)
        for path, methods in catalogue.contract()["paths"].items()
        for method, described in methods.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What was made: the value of each path parameter, and everything that gives the app away."""

    mark: str
    values: dict[str, str]
    telling: set[str] = field(default_factory=set)


def populate(desk: Desk, me: Person, mark: str) -> World:
    """Make one of everything in the app of `me`."""
    values: dict[str, str] = {"app_id": str(me.app_id)}
    _sending(me, mark, values)
    _campaigning(me, mark, values)
    _mails(desk, me, mark, values)
    _operating(desk, me, mark, values)
    ids = {value for name, value in values.items() if name != "version"}
    return World(mark=mark, values=values, telling=ids | {mark})


def _sending(me: Person, mark: str, values: dict[str, str]) -> None:
    config = {"name": f"{mark} server", "host": "127.0.0.1", "port": 1025, "security": "none"}
    values["smtp_config_id"] = me.post("/v1/smtp-configs", config)["id"]
    values["company_id"] = me.post("/v1/companies", {"name": f"{mark} company"})["id"]
    account = {"address": f"ann@{mark}.example", "smtp_config_id": values["smtp_config_id"]}
    values["account_id"] = me.post("/v1/email-accounts", account)["id"]
    me.put(f"/v1/email-accounts/{values['account_id']}/mailbox", mailbox_of(mark))
    queue = {"name": f"{mark} queue"}
    values["queue_id"] = me.post("/v1/queues", queue)["id"]


def _campaigning(me: Person, mark: str, values: dict[str, str]) -> None:
    template = {"name": f"{mark}-template", "subject": f"Hi {mark}", "html": f"<p>{mark}</p>"}
    me.post("/v1/templates", template)
    values |= {"name": template["name"], "version": "1"}
    me.post("/v1/leads", {"leads": [{"email": f"lead@{mark}.example"}]})
    values["lead_id"] = me.get("/v1/leads")["data"][0]["id"]
    campaign = {
        "name": f"{mark} campaign",
        "accounts": [f"ann@{mark}.example"],
        "steps": [{"template": template["name"]}],
    }
    values["campaign_id"] = me.post("/v1/campaigns", campaign)["id"]


def mailbox_of(mark: str) -> dict[str, Any]:
    """Return where the answers to a sender arrive; nothing listens there."""
    return {
        "host": "127.0.0.1",
        "port": 9,
        "username": f"ann@{mark}.example",
        "password": f"{mark} and more words",
    }


def mail_of(mark: str) -> dict[str, Any]:
    """Return an e-mail that the app with this mark may send."""
    return {
        "from": {"email": f"ann@{mark}.example"},
        "to": [{"email": f"bob@{mark}.example", "name": mark}],
        "subject": f"About {mark}",
        "html": f"<p>{mark}</p>",
        "tags": [mark],
        "metadata": {"word": mark},
    }


def batch_of(mark: str) -> dict[str, Any]:
    """Return a batch that the app with this mark may send."""
    shared = {name: part for name, part in mail_of(mark).items() if name != "to"}
    return shared | {"emails": [{"to": {"email": f"cy@{mark}.example"}}]}


def _mails(desk: Desk, me: Person, mark: str, values: dict[str, str]) -> None:
    values["email_id"] = me.post("/v1/emails", mail_of(mark))["id"]
    values["batch_id"] = me.post("/v1/emails/batch", batch_of(mark))["id"]
    batch.expand_open(desk.session, desk.settings.address_pepper.get_secret_value(), utc_now(), 60)
    job = {"name": f"{mark} job", "cron": "0 9 * * MON", "email": mail_of(mark)}
    values["job_id"] = me.post("/v1/scheduled-jobs", job)["id"]


def _operating(desk: Desk, me: Person, mark: str, values: dict[str, str]) -> None:
    values["email"] = f"gone@{mark}.example"
    me.post("/v1/suppression", {"email": values["email"], "reason": "manual"})
    values["api_key_id"] = me.get("/v1/api-keys")["data"][0]["id"]
    letter: dict[str, Any] = {
        "id": uuid.uuid4(),
        "app_id": me.app_id,
        "queue": "send.normal",
        "message": "{}",
        "error_class": f"{mark}Error",
        "error": f"{mark} failed",
        "fingerprint": f"{mark}-fingerprint",
        "attempts": 3,
    }
    factories.insert(desk.session, "dead_letters", letter)
    values["letter_id"] = str(letter["id"])
    values["sender_id"] = str(uuid.uuid4())
    held = {"sender_id": values["sender_id"], "app_id": me.app_id, "level": "held"}
    why = {"rule": "complaints.hold", "reason": f"{mark} complained"}
    factories.insert(desk.session, "app_reputation", held | why)
    hook = {"provider": "mailgun", "secret": f"{mark} signing key", "description": mark}
    made = me.post("/v1/provider-hooks", hook)
    values["provider_hook_id"], values["token"] = made["id"], made["path"].rpartition("/")[2]
    webhook = {"url": f"https://{mark}.example/", "description": mark}
    values["webhook_id"] = me.post("/v1/webhooks", webhook)["webhook"]["id"]
    sent = me.post(f"/v1/webhooks/{values['webhook_id']}/test")
    values["delivery_id"] = sent["delivery_id"]
    values["user_id"] = desk.operator().post("/v1/users", _user(mark, "user", me.app_id))["id"]


def _user(mark: str, name: str, app_id: object) -> dict[str, str]:
    return {
        "email": f"{name}@{mark}.example",
        "role": "viewer",
        "password": f"{mark} and more words",
        "app_id": str(app_id),
    }


def orders(world: World) -> dict[str, Any]:
    """Return a good body of each operation that reads JSON, naming what the world has."""
    mark, values = world.mark, world.values
    server = {"name": f"new {mark} server", "host": "127.0.0.1", "port": 1025, "security": "none"}
    content = {"subject": f"Hi {mark}", "html": f"<p>{mark}</p>"}
    return {
        "send_email": mail_of(mark) | {"queue": values["queue_id"]},
        "send_batch": batch_of(mark) | {"queue": values["queue_id"]},
        "schedule_mail": {"recipients": [f"bob@{mark}.example"], "subject": mark, "body": mark},
        "send_test_email": {"to": f"bob@{mark}.example"},
        "save_template": content | {"name": f"{mark}-new"},
        "check_template": content,
        "preview_content": content | {"variables": {}},
        "preview_template": {"variables": {}},
        "send_template_test": {"from": f"ann@{mark}.example", "to": f"bob@{mark}.example"},
        "add_leads": {"leads": [{"email": f"new@{mark}.example", "variables": {"city": mark}}]},
        "create_campaign": {
            "name": f"new {mark} campaign",
            "accounts": [f"ann@{mark}.example"],
            "steps": [{"template": values["name"]}],
        },
        "add_suppression": {"email": f"new@{mark}.example"},
        "retry_dead_letters": {"ids": [values["letter_id"]]},
        "discard_dead_letters": {"ids": [values["letter_id"]], "reason": mark},
        "create_queue": {"name": f"new {mark} queue"},
        "change_queue": {"name": f"{mark} queue"},
        "create_smtp_config": server,
        "change_smtp_config": {"name": f"{mark} server"},
        "test_smtp_config": {},
        "create_email_account": {
            "address": f"new@{mark}.example",
            "display_name": mark,
            "smtp_config_id": values["smtp_config_id"],
            "company_id": values["company_id"],
        },
        "change_email_account": {
            "display_name": mark,
            "smtp_config_id": values["smtp_config_id"],
            "company_id": values["company_id"],
        },
        "create_provider_hook": {"provider": "mailgun", "secret": f"the key of {mark}"},
        "receive_provider_events": {"signature": {"token": mark}},
        "set_mailbox": mailbox_of(mark),
        "create_webhook": {"url": f"https://new.{mark}.example/", "description": mark},
        "change_webhook": {"description": mark},
        "rotate_webhook_secret": {},
        "retry_webhook_deliveries": {"endpoint_id": values["webhook_id"]},
        "create_scheduled_job": {
            "name": f"new {mark} job",
            "cron": "0 9 * * MON",
            "email": mail_of(mark),
        },
        "change_scheduled_job": {"name": f"{mark} job", "email": mail_of(mark)},
        "create_app": {"name": f"new {mark} app"},
        "change_app": {"name": f"{mark} app"},
        "create_company": {"name": f"new {mark} company"},
        "rename_company": {"name": f"{mark} company"},
        "create_api_key": {"name": f"{mark} key", "scopes": ["email:read"]},
        "rotate_api_key": {},
        "login": {"email": f"user@{mark}.example", "password": mark},
        "create_user": _user(mark, "new", values["app_id"]),
        "change_user": {"name": mark},
    }
