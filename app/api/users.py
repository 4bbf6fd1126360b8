"""`/v1/login` and `/v1/users`: people, who sign in for a token of 15 minutes."""

import dataclasses
import datetime as dt
import functools
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from pydantic import Field, SecretStr

from app.api.call import Call
from app.api.endpoint import Routes, Unit
from app.api.forms import Given, View
from app.api.paging import Page, PageQuery, page
from app.policy.request_limits import RequestLimiter
from app.tenancy import logins, users
from app.tenancy.logins import Attempt, SigningKeys
from app.tenancy.scopes import Role, Scope
from app.tenancy.users import NewUser, User

routes = Routes("users", about="People: they sign in for a token, and their role says what for.")

Password = Annotated[SecretStr, Field(min_length=1, max_length=256)]
Email = Annotated[str, Field(min_length=3, max_length=320)]
Name = Annotated[str, Field(max_length=200)]


class LoginBody(Given):
    """Who signs in."""

    email: Email
    password: Password


class UserBody(Given):
    """A person to create; only a super_admin has no app."""

    email: Email
    role: Role
    password: Password
    name: Name = ""
    app_id: UUID | None = None


class UserChange(Given):
    """What is to change; what is left out stays. A new password ends the tokens of before."""

    name: Name = ""
    role: Role = Role.VIEWER
    is_disabled: bool = False
    password: Password = SecretStr("")


class UserView(View):
    """A person as they stand."""

    id: UUID
    app_id: UUID | None
    email: str
    name: str
    role: Role
    has_second_factor: bool
    last_login_at: dt.datetime | None
    disabled_at: dt.datetime | None
    created_at: dt.datetime


class TicketView(View):
    """A token for the header Authorization: Bearer."""

    token: str
    expires_at: dt.datetime
    user: UserView


@routes.post("/v1/login", needs=None, unit=Unit.OWN)
def login(call: Call, body: LoginBody) -> TicketView:
    """Sign in. Attempts are counted for each address and each origin."""
    keys = SigningKeys.from_setting(call.settings.jwt_keys.get_secret_value())
    attempt = Attempt(
        email=body.email,
        password=body.password.get_secret_value(),
        origin=call.caller.limit_key,  # "anybody", by where they are
    )
    take = _limiter(call.settings.redis_url).take_request
    pepper = call.settings.address_pepper.get_secret_value()
    user = logins.login(call.session, take, attempt, pepper=pepper)
    return TicketView.model_validate(keys.issue(user, call.now))


@functools.cache
def _limiter(redis_url: str) -> RequestLimiter:
    return RequestLimiter(redis_url)


@routes.post("/v1/users", needs=Scope.ADMIN, unit=Unit.OPERATOR, status=HTTPStatus.CREATED)
def create_user(call: Call, body: UserBody) -> UserView:
    """Create a person."""
    given = body.model_dump() | {"password": body.password.get_secret_value()}
    return UserView.model_validate(users.create(call.session, NewUser(**given), call.author))


@routes.get("/v1/users", needs=Scope.ADMIN, unit=Unit.OPERATOR)
def list_users(call: Call, query: PageQuery) -> Page[UserView]:
    """List the people, of the app in X-App-Id or of all."""
    rows = users.list_page(
        call.session, call.caller.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, UserView.model_validate, lambda user: user.id)


@routes.get("/v1/users/{user_id}", needs=Scope.ADMIN, unit=Unit.OPERATOR)
def get_user(call: Call, user_id: UUID) -> UserView:
    """Show a person."""
    return UserView.model_validate(users.get(call.session, user_id))


@routes.patch("/v1/users/{user_id}", needs=Scope.ADMIN, unit=Unit.OPERATOR)
def change_user(call: Call, user_id: UUID, body: UserChange) -> UserView:
    """Change a person's name, role or password, or let them in no more."""
    said = body.said()
    password = said.pop("password", None)
    found = users.get(call.session, user_id)
    is_disabled = said.pop("is_disabled", found.disabled_at is not None)
    changed = dataclasses.replace(found, **said)
    changed = users.update(call.session, changed, call.author, is_disabled=is_disabled)
    if password is not None:
        changed = _with_password(call, changed, password.get_secret_value())
    return UserView.model_validate(changed)


def _with_password(call: Call, user: User, password: str) -> User:
    return users.set_password(call.session, user.id, password, call.author)
