"""`/v1/api-keys`: an app's keys, shown once when they are made and masked ever after."""

import datetime as dt
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from pydantic import Field, IPvAnyNetwork

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import AwareTime, Given, View
from app.api.paging import Page, PageQuery, page
from app.tenancy import api_keys, scopes
from app.tenancy.api_keys import IssuedKey, NewKey
from app.tenancy.scopes import Scope

routes = Routes(
    "api-keys", about="Keys: made, listed masked, revoked, rotated with a grace period."
)


class KeyBody(Given):
    """A key to make. A test key simulates everything it submits."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=20)]
    allowed_networks: Annotated[
        tuple[IPvAnyNetwork, ...], Field(max_length=100, description="Empty: from anywhere.")
    ] = ()
    expires_at: AwareTime | None = None
    per_minute: (
        Annotated[int, Field(ge=1, le=1_000_000, description="Requests a minute.")] | None
    ) = None
    is_test: bool = False


class Rotation(Given):
    """How long the old key stays valid beside the new one."""

    grace_s: Annotated[int, Field(ge=0, le=2_592_000)] = 86_400


class KeyView(View):
    """A key; `masked` is all that is known of its text."""

    id: UUID
    name: str
    masked: str
    is_test: bool
    scopes: list[Scope]
    allowed_networks: Annotated[list[IPvAnyNetwork], Field(validation_alias="networks")]
    per_minute: int | None
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    replaced_by: UUID | None
    created_at: dt.datetime


class IssuedKeyView(View):
    """A new key with its text, which is shown this once."""

    key: str
    details: KeyView


@routes.post("/v1/api-keys", needs=Scope.ADMIN, status=HTTPStatus.CREATED, has_secret=True)
def create_api_key(call: Call, body: KeyBody) -> IssuedKeyView:
    """Create a key; nobody can give it more than they hold themselves."""
    scopes.require_grantable(call.caller.scopes, body.scopes)
    new = NewKey(
        app_id=call.app_id,
        name=body.name,
        scopes=tuple(body.scopes),
        networks=tuple(str(network) for network in body.allowed_networks),
        expires_at=body.expires_at,
        per_minute=body.per_minute,
        is_test=body.is_test or call.caller.is_test,  # simulating stays simulating
    )
    return _issued(api_keys.create(call.session, _pepper(call), new, call.author))


@routes.get("/v1/api-keys", needs=Scope.ADMIN)
def list_api_keys(call: Call, query: PageQuery) -> Page[KeyView]:
    """List the keys, masked, revoked ones too."""
    rows = api_keys.list_page(
        call.session, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, KeyView.model_validate, lambda key: key.id)


@routes.delete("/v1/api-keys/{api_key_id}", needs=Scope.ADMIN)
def revoke_api_key(call: Call, api_key_id: UUID) -> None:
    """Revoke a key; within five seconds it opens nothing anywhere."""
    api_keys.revoke(call.session, call.app_id, api_key_id, call.author)


@routes.post(
    "/v1/api-keys/{api_key_id}/rotate",
    needs=Scope.ADMIN,
    status=HTTPStatus.CREATED,
    has_secret=True,
)
def rotate_api_key(call: Call, api_key_id: UUID, body: Rotation) -> IssuedKeyView:
    """Replace a key; the old one stays valid for the grace period."""
    old = api_keys.get(call.session, call.app_id, api_key_id)
    scopes.require_grantable(call.caller.scopes, old.scopes)
    grace = dt.timedelta(seconds=body.grace_s)
    return _issued(api_keys.rotate(call.session, _pepper(call), old, grace, call.author))


def _pepper(call: Call) -> str:
    return call.settings.api_key_pepper.get_secret_value()


def _issued(issued: IssuedKey) -> IssuedKeyView:
    return IssuedKeyView(key=issued.text, details=KeyView.model_validate(issued.key))
