"""`/v1/smtp-configs`: servers to send through. A password goes in and never comes out."""

import dataclasses
import datetime as dt
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.api.call import Call
from app.api.endpoint import Routes, Unit
from app.api.forms import Given, View, secret_box
from app.api.paging import Page, PageQuery, page
from app.api.probing import FAILED, Probed, probed, require_port
from app.errors import InputInvalid
from app.smtp.connection import Security, Server
from app.smtp.probe import check
from app.smtp.resolve import networks_in
from app.tenancy import smtp_configs
from app.tenancy.scopes import Scope
from app.tenancy.smtp_configs import NewSmtpConfig, SmtpConfig

routes = Routes("smtp-configs", about="Servers to send through, and whether they work.")

_PORTS = (25, 465, 587, 2525)
_FAILED = {
    **FAILED,
    "banner": "The server did not greet as an SMTP server does.",
    "ehlo": "The server did not take EHLO.",
    "mail-from": "The server does not take mail from this sender.",
}

Name = Annotated[str, Field(min_length=1, max_length=100)]
Host = Annotated[str, Field(min_length=1, max_length=253)]
Port = Annotated[int, Field(ge=1, le=65_535, description="25, 465, 587 or 2525.")]
Login = Annotated[str, Field(min_length=1, max_length=500)] | None
Connections = Annotated[int, Field(ge=1, le=64, description="At most, at once.")]


class SmtpConfigBody(Given):
    """A server to create; without username it is used without login."""

    name: Name
    host: Host
    port: Port = 587
    security: Security = Security.STARTTLS
    username: Login = None
    password: Login = None
    connections: Connections = 8


class SmtpConfigChange(Given):
    """What is to change; what is left out stays, the password too."""

    name: Name = ""
    host: Host = ""
    port: Port = 587
    security: Security = Security.STARTTLS
    username: Login = None
    password: Login = None
    connections: Connections = 8


class SmtpConfigView(View):
    """A server as it stands, without its password."""

    id: UUID
    name: str
    host: str
    port: int
    security: Security
    username: str | None
    has_password: bool
    connections: int
    created_at: dt.datetime


class ProbeBody(Given):
    """Which sender to offer; nothing is sent."""

    mail_from: Annotated[str, Field(max_length=320)] = ""


@routes.post("/v1/smtp-configs", needs=Scope.SMTP_MANAGE, status=HTTPStatus.CREATED)
def create_smtp_config(call: Call, body: SmtpConfigBody) -> SmtpConfigView:
    """Create a server; try it with its test."""
    require_port(call, body.port, _PORTS)
    new = NewSmtpConfig(app_id=call.app_id, **body.model_dump())
    made = smtp_configs.create(call.session, secret_box(call.settings), new, call.author)
    return _view(made)


@routes.get("/v1/smtp-configs", needs=Scope.SMTP_MANAGE)
def list_smtp_configs(call: Call, query: PageQuery) -> Page[SmtpConfigView]:
    """List the servers."""
    box = secret_box(call.settings)
    rows = smtp_configs.list_page(
        call.session, box, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, _view, lambda config: config.id)


@routes.get("/v1/smtp-configs/{smtp_config_id}", needs=Scope.SMTP_MANAGE)
def get_smtp_config(call: Call, smtp_config_id: UUID) -> SmtpConfigView:
    """Show a server."""
    return _view(_get(call, smtp_config_id))


@routes.patch("/v1/smtp-configs/{smtp_config_id}", needs=Scope.SMTP_MANAGE)
def change_smtp_config(call: Call, smtp_config_id: UUID, body: SmtpConfigChange) -> SmtpConfigView:
    """Change a server. Another host needs the password again: it is not sent to where it was not."""
    said = body.said()
    found = _get(call, smtp_config_id)
    require_port(call, said.get("port", found.port), _PORTS)
    moves = any(said.get(name, getattr(found, name)) != getattr(found, name) for name in _PLACE)
    if moves and found.password is not None and "password" not in said:
        raise InputInvalid(
            "The server's password is needed again.",
            why="Host, port or security change, and a password is only sent where it was meant to.",
            fix="Send username and password with the change, or null for both.",
            field="/password",
        )
    changed = dataclasses.replace(found, **said)
    box = secret_box(call.settings)
    return _view(smtp_configs.update(call.session, box, changed, call.author))


@routes.delete("/v1/smtp-configs/{smtp_config_id}", needs=Scope.SMTP_MANAGE)
def delete_smtp_config(call: Call, smtp_config_id: UUID) -> None:
    """Delete a server no account sends through."""
    smtp_configs.delete(call.session, _get(call, smtp_config_id), call.author)


@routes.post("/v1/smtp-configs/{smtp_config_id}/test", needs=Scope.SMTP_MANAGE, unit=Unit.OWN)
def test_smtp_config(call: Call, smtp_config_id: UUID, body: ProbeBody) -> Probed:
    """Connect, encrypt, log in and offer a sender, step by step; sends no mail."""
    with call.tenant():
        config = _get(call, smtp_config_id)
    steps = check(_server(call, config), body.mail_from)
    return probed(call, steps, _FAILED)


_PLACE = ("host", "port", "security")


def _get(call: Call, config_id: UUID) -> SmtpConfig:
    return smtp_configs.get(call.session, secret_box(call.settings), call.app_id, config_id)


def _view(config: SmtpConfig) -> SmtpConfigView:
    facts = {
        name: getattr(config, name)
        for name in SmtpConfigView.model_fields
        if name != "has_password"
    }
    return SmtpConfigView(**facts, has_password=config.password is not None)


def _server(call: Call, config: SmtpConfig) -> Server:
    return Server(
        host=config.host,
        port=config.port,
        security=config.security,
        username=config.username,
        password=config.password,
        helo=call.settings.helo_name,
        connections=1,
        allowed_networks=networks_in(call.settings.smtp_allowed_networks),
    )
