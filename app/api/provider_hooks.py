"""`/v1/provider-hooks`: where mail providers tell what became of an app's mail; and what they tell.

The provider proves itself by its own signature, so what it posts to carries no key. What is
answered 200 is committed; its effects follow as those of a mail that came back.
"""

import datetime as dt
import functools
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import orjson
from flask import request
from pydantic import Field, SecretStr

from app.api.call import Call
from app.api.endpoint import Routes, Unit
from app.api.forms import Given, View, secret_box
from app.api.paging import Page, PageQuery, page
from app.api.reading import JSON
from app.db.session import tenant_transaction
from app.errors import Forbidden, InputInvalid
from app.feedback import mails, messages
from app.feedback.messages import ToldEvent
from app.feedback.providers import hooks, sns
from app.feedback.providers.event import MOST_EVENTS, Provider, loaded, objects, refused
from app.feedback.providers.hooks import Hook, NewHook
from app.feedback.providers.reading import Posted, opened, read
from app.log import Event, logger
from app.mail.verp import coded_domain
from app.tenancy.scopes import Scope

routes = Routes(
    "provider-hooks",
    about="Bounces, complaints and deliveries as SES, Postmark, SendGrid and Mailgun tell them.",
)

Token = Annotated[str, Field(min_length=1, max_length=100)]


class ProviderHookBody(Given):
    """A hook to create. `secret` is never shown again."""

    provider: Provider
    secret: Annotated[
        SecretStr,
        Field(
            min_length=1,
            max_length=2_000,
            description="SES: the ARN of the SNS topic. Postmark: the password or the value of "
            "X-Mailqueue-Secret. SendGrid: the verification key. Mailgun: the HTTP webhook "
            "signing key.",
        ),
    ]
    description: Annotated[str, Field(max_length=200)] = ""


class ProviderHookView(View):
    """A hook as it stands; its provider posts to `path` of this API."""

    id: UUID
    provider: Provider
    description: str
    path: str
    created_at: dt.datetime


class ToldView(View):
    """How many events were new."""

    stored: int


@routes.post("/v1/provider-hooks", needs=Scope.WEBHOOK_MANAGE, status=HTTPStatus.CREATED)
def create_provider_hook(call: Call, body: ProviderHookBody) -> ProviderHookView:
    """Create a hook with an address of its own."""
    new = NewHook(
        app_id=call.app_id,
        provider=body.provider,
        secret=body.secret.get_secret_value().strip(),
        description=body.description,
    )
    return _view(hooks.create(call.session, secret_box(call.settings), new, call.author))


@routes.get("/v1/provider-hooks", needs=Scope.WEBHOOK_MANAGE)
def list_provider_hooks(call: Call, query: PageQuery) -> Page[ProviderHookView]:
    """List the hooks."""
    rows = hooks.list_page(call.session, call.app_id, after=query.after_id, limit=query.limit + 1)
    return page(rows, query, _view, lambda hook: hook.id)


@routes.get("/v1/provider-hooks/{provider_hook_id}", needs=Scope.WEBHOOK_MANAGE)
def get_provider_hook(call: Call, provider_hook_id: UUID) -> ProviderHookView:
    """Show a hook."""
    return _view(hooks.get(call.session, call.app_id, provider_hook_id))


@routes.delete("/v1/provider-hooks/{provider_hook_id}", needs=Scope.WEBHOOK_MANAGE)
def delete_provider_hook(call: Call, provider_hook_id: UUID) -> None:
    """Delete a hook: its address answers no more."""
    found = hooks.get(call.session, call.app_id, provider_hook_id)
    hooks.delete(call.session, found, call.author)


@routes.post("/v1/provider-events/{token}", needs=None, unit=Unit.OWN, accepts=JSON)
def receive_provider_events(call: Call, token: Token, body: bytes) -> ToldView:
    """Take what a provider tells, signed by its own signature.

    Events about other mail than the app's do nothing; one that comes again is there already.
    """
    hook = hooks.find(call.session, token)
    try:
        if hook is None:
            raise refused()
        events = _events(call, hook, body)
    except Forbidden:
        told = hook.provider if hook else None
        logger().warning(Event.INBOUND_REFUSED, why="unproven event", provider=told)
        raise
    if len(events) > MOST_EVENTS:
        raise InputInvalid(
            f"These are more than {MOST_EVENTS:,} events.", fix="Tell fewer at once."
        )
    ids = _stored(call, hook, events)
    if ids:
        logger().info(Event.INBOUND_STORED, provider=hook.provider, messages=len(ids))
        call.after_commit.append(functools.partial(call.outside.announce, ids))
    return ToldView(stored=len(ids))


def _events(call: Call, hook: Hook, body: bytes) -> list[dict[str, Any]]:
    """Return what the hook's provider tells; raises Forbidden when it is somebody else."""
    secret = hooks.secret_of(secret_box(call.settings), hook)
    if hook.provider is Provider.SES:
        return _of_topic(call, secret, body)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return opened(hook.provider, Posted(headers=headers, body=body, now=call.now), secret)


def _of_topic(call: Call, topic: str, body: bytes) -> list[dict[str, Any]]:
    """Return what SNS tells of this topic, its signature verified; confirm a subscription."""
    notice = sns.read(body, topic)
    sns.verify(notice, call.outside.fetch(notice.certificate_url), call.now)
    if notice.kind == sns.CONFIRMATION:
        call.outside.fetch(sns.confirmation_url(notice, topic))
        return []
    return objects([loaded(notice.message.encode())]) if notice.kind == sns.NOTIFICATION else []


def _stored(call: Call, hook: Hook, events: list[dict[str, Any]]) -> list[UUID]:
    coded = coded_domain(
        call.settings.inbound_domain, call.settings.tracking_keys.get_secret_value()
    )
    seen = [(event, read(hook.provider, event)) for event in events]
    named = [one.email_ids(coded) for _, one in seen]
    with tenant_transaction(call.session, hook.app_id) as session:
        own = mails.own(session, hook.app_id, [one for ids in named for one in ids])
        told = [
            ToldEvent(
                key=one.key,
                email_id=next((each for each in ids if each in own), None),
                recipient=one.verdicts[0].address,
                raw=orjson.dumps(event),
            )
            for (event, one), ids in zip(seen, named, strict=True)
        ]
        return messages.store_events(session, hook.app_id, hook.provider, told)


def _view(hook: Hook) -> ProviderHookView:
    return ProviderHookView(
        id=hook.id,
        provider=hook.provider,
        description=hook.description,
        path=f"/v1/provider-events/{hook.token}",
        created_at=hook.created_at,
    )
