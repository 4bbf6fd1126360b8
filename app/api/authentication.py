"""Who asks: an API key, a person's token, or the operator's secret; and how often they may.

All three come as `Authorization: Bearer ...`. A super_admin, who has no app, names one in X-App-Id.
"""

import datetime as dt
import hmac
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from flask import Request, g

from app.api.call import APP_HEADER, NOWHERE, Call, Caller, Outside
from app.api.endpoint import Endpoint, Unit
from app.api.guesses import Guesses
from app.audit import Author
from app.clock import utc_now
from app.config import Settings
from app.db.session import Session, thread_session
from app.errors import Forbidden, InputInvalid, RateLimited, Unauthorized
from app.ids import new_id
from app.policy.request_limits import Allowance, TakeRequest
from app.proxies import TrustedProxies, neighbourhood
from app.submission.crowd import Crowd
from app.tenancy import apps
from app.tenancy.keyring import Keyring
from app.tenancy.scopes import ALL_SCOPES

REQUEST_HEADER = "X-Request-Id"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_NOWHERE = ipaddress.ip_address("::")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A token and where it came from. `open_session` asks for a worker's session when needed."""

    token: str
    origin: Address
    now: dt.datetime
    app_id: UUID | None
    open_session: Callable[[], Session]


ReadPerson = Callable[[Presented], Caller]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Lets requests in. `read_person` knows people's tokens; `take_request` counts requests.

    `crowd` stores what many submit at once.
    """

    settings: Settings
    keyring: Keyring
    read_person: ReadPerson
    take_request: TakeRequest
    proxies: TrustedProxies
    crowd: Crowd
    outside: Outside = NOWHERE
    guesses: Guesses = field(default_factory=Guesses)

    def admit(self, endpoint: Endpoint, request: Request) -> Call:
        """Return the call of a request.

        Raises Unauthorized, Forbidden (scope, network, suspended app), RateLimited, or NotFound
        for an operator's app that does not exist.
        """
        now = utc_now()
        request_id = request_name(request)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        origin = self._origin(request)
        caller = self._caller(endpoint, request, origin, now)
        self._count(caller)
        if endpoint.terms.needs is not None and not caller.may(endpoint.terms.needs):
            raise Forbidden(
                f"This needs the scope {endpoint.terms.needs}.",
                why="The caller does not hold it.",
                fix="Use a key that does, or have it added.",
            )
        if endpoint.terms.unit is Unit.OPERATOR and not caller.is_operator:
            raise Forbidden(
                "Only a super_admin may do this.",
                why="It reaches beyond one app.",
                fix="Ask whoever runs this installation.",
            )
        if caller.is_operator and caller.app_id is not None:
            apps.get(self._session(), caller.app_id)  # raises NotFound for an app nobody has
        return Call(
            open_session=self._session,
            caller=caller,
            settings=self.settings,
            now=now,
            request_id=request_id,
            outside=self.outside,
            crowd=self.crowd if endpoint.terms.unit is Unit.SHARED else None,
        )

    def _session(self) -> Session:
        return thread_session(self.settings.database_url)

    def _origin(self, request: Request) -> Address:
        forwarded = request.headers.get("X-Forwarded-For", "")
        said = self.proxies.client_ip(request.remote_addr or "", forwarded)
        try:
            return ipaddress.ip_address(said)
        except ValueError:
            return _NOWHERE

    def _caller(
        self, endpoint: Endpoint, request: Request, origin: Address, now: dt.datetime
    ) -> Caller:
        if endpoint.terms.needs is None:
            return _anybody(origin)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise _missing()
        presented = Presented(
            token=token,
            origin=origin,
            now=now,
            app_id=_named_app(request),
            open_session=self._session,
        )
        if token.startswith("mq_"):
            return self._key(presented)
        if token.count(".") == 2:
            return self.read_person(presented)
        return self._operator(presented)

    def _key(self, presented: Presented) -> Caller:
        holder = self.keyring.holder(
            presented.open_session, presented.token, origin=presented.origin, now=presented.now
        )
        name = f"key:{holder.key_id}"
        return Caller(
            app_id=holder.app_id,
            scopes=holder.scopes,
            author=Author(name=name, origin=str(presented.origin)),
            limit_key=name,
            per_minute=holder.per_minute,
            is_test=holder.is_test or holder.app_is_sandbox,
            is_rehearsing=holder.is_test and not holder.app_is_sandbox,
        )

    def _operator(self, presented: Presented) -> Caller:
        party = neighbourhood(str(presented.origin))
        self.guesses.require_patience(party)
        secret = self.settings.admin_secret.get_secret_value()
        is_right = hmac.compare_digest(presented.token.encode(), secret.encode())
        if not secret or not is_right:
            self.guesses.note(party, self.take_request)
            raise _missing()
        return Caller(
            app_id=presented.app_id,
            scopes=ALL_SCOPES,
            author=Author(name="operator", origin=str(presented.origin)),
            limit_key="operator",
            is_operator=True,
        )

    def _count(self, caller: Caller) -> None:
        per_minute = caller.per_minute or self.settings.api_per_minute
        allowance = self.take_request(caller.limit_key, per_minute, per_minute)
        g.allowance = allowance
        if not allowance.is_allowed:
            raise RateLimited(
                "Too many requests.",
                why=f"This caller has {per_minute} requests a minute.",
                fix=f"Wait {allowance.retry_after_s} s, or send e-mails in batches.",
            )


def allowance_headers() -> dict[str, str]:
    """Return the headers that tell a caller what is left; none when nobody counted."""
    allowance: Allowance | None = g.get("allowance")
    if allowance is None:
        return {}
    said = {
        "X-RateLimit-Limit": allowance.limit,
        "X-RateLimit-Remaining": allowance.remaining,
        "X-RateLimit-Reset": allowance.reset_s,
        "Retry-After": allowance.retry_after_s,
    }
    return {name: str(value) for name, value in said.items() if value is not None}


def request_name(request: Request) -> str:
    """Return the request's id: the caller's own when it is a plain word, else a fresh one."""
    if "request_id" not in g:
        said = request.headers.get(REQUEST_HEADER, "")
        g.request_id = said if _REQUEST_ID.fullmatch(said) else str(new_id())
    name: str = g.request_id
    return name


def _anybody(origin: Address) -> Caller:
    return Caller(
        app_id=None,
        scopes=frozenset(),
        author=Author(name="anybody", origin=str(origin)),
        limit_key=f"address:{neighbourhood(str(origin))}",
    )


def _named_app(request: Request) -> UUID | None:
    said = request.headers.get(APP_HEADER)
    if said is None:
        return None
    try:
        return UUID(said)
    except ValueError as error:
        raise InputInvalid(
            "This is no app's id.",
            why="An id is a UUID.",
            fix="List the apps: GET /v1/apps.",
            field=APP_HEADER,
        ) from error


def _missing() -> Unauthorized:
    return Unauthorized(
        "Who are you?",
        why="The request carries no valid key or token.",
        fix="Send Authorization: Bearer with an API key (mq_live_...) or a token of /v1/login.",
        field="Authorization",
    )
