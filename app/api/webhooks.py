"""`/v1/webhooks`: where an app's news go, the log of what was sent, and sending it again."""

import datetime as dt
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import AwareTime, Given, View, secret_box
from app.api.paging import Page, PageQuery, page
from app.tenancy.scopes import Scope
from app.webhooks import deliveries, endpoints, fanout
from app.webhooks.deliveries import Choice, DeliveryStatus
from app.webhooks.destination import LONGEST, Reach
from app.webhooks.endpoints import EndpointStatus, Issued, NewEndpoint
from app.webhooks.events import Event

routes = Routes(
    "webhooks",
    about="What happens to an app's mail, told to its own systems; signed as Standard Webhooks.",
)

Url = Annotated[str, Field(min_length=8, max_length=LONGEST)]
Events = Annotated[
    tuple[Event, ...], Field(max_length=len(Event), description="Which news; none named = all.")
]
Description = Annotated[str, Field(max_length=200)]
Grace = Annotated[
    int, Field(ge=0, le=604_800, description="Seconds for which the old secret signs as well.")
]


class WebhookBody(Given):
    """A webhook to create."""

    url: Url
    events: Events = ()
    description: Description = ""


class WebhookChange(Given):
    """What is to change; what is left out stays. A paused one keeps its deliveries for later."""

    url: Url = ""
    events: Events = ()
    description: Description = ""
    status: EndpointStatus = EndpointStatus.ACTIVE


class WebhookView(View):
    """A webhook as it stands. It rests for a while after it failed."""

    id: UUID
    url: str
    events: list[Event]
    description: str
    status: EndpointStatus
    pause_reason: str | None
    failures: int = Field(description="In a row, without a success between them.")
    failing_since: dt.datetime | None
    resting_until: dt.datetime | None
    previous_secret_until: dt.datetime | None
    created_at: dt.datetime


class IssuedWebhookView(View):
    """A webhook with its secret, which is shown this once."""

    secret: str
    webhook: WebhookView


class Rotation(Given):
    """How long the secret that is replaced signs beside the new one."""

    grace_s: Grace = 86_400


class DeliveryView(View):
    """One delivery, what was sent and what came back at its last try."""

    id: UUID
    endpoint_id: UUID
    url: str
    event: str
    email_id: UUID | None
    status: DeliveryStatus
    attempts: int
    payload: dict[str, Any]
    request_headers: dict[str, str] | None
    response_code: int | None
    response_body: str | None = Field(description="Its first 2,000 bytes.")
    error: str | None
    duration_ms: int | None
    due_at: dt.datetime | None
    attempted_at: dt.datetime | None
    delivered_at: dt.datetime | None
    created_at: dt.datetime


class LogQuery(PageQuery):
    """Which deliveries; times are those of their creation."""

    endpoint_id: UUID | None = None
    email_id: UUID | None = None
    status: DeliveryStatus | None = None
    event: Event | None = None
    since: AwareTime | None = None
    until: AwareTime | None = None


class RetryBody(Given):
    """Which deliveries to send again: those that match everything named; failed ones by default."""

    endpoint_id: UUID | None = None
    status: DeliveryStatus | None = DeliveryStatus.FAILED
    event: Event | None = None
    since: AwareTime | None = None
    until: AwareTime | None = None


class RetryView(View):
    """How many deliveries go again."""

    retried: int


class SentView(View):
    """A delivery on its way; the log says what becomes of it."""

    delivery_id: UUID


@routes.post("/v1/webhooks", needs=Scope.WEBHOOK_MANAGE, status=HTTPStatus.CREATED, has_secret=True)
def create_webhook(call: Call, body: WebhookBody) -> IssuedWebhookView:
    """Create a webhook; its secret is shown this once."""
    new = NewEndpoint(app_id=call.app_id, **body.model_dump())
    box = secret_box(call.settings)
    return _issued(endpoints.create(call.session, box, new, _reach(call), call.author))


@routes.get("/v1/webhooks", needs=Scope.WEBHOOK_MANAGE)
def list_webhooks(call: Call, query: PageQuery) -> Page[WebhookView]:
    """List the webhooks."""
    rows = endpoints.list_page(
        call.session, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, WebhookView.model_validate, lambda endpoint: endpoint.id)


@routes.get("/v1/webhooks/logs", needs=Scope.WEBHOOK_MANAGE)
def list_webhook_deliveries(call: Call, query: LogQuery) -> Page[DeliveryView]:
    """List deliveries, the newest first."""
    chosen = query.model_dump(exclude={"limit", "cursor"})
    rows = deliveries.list_page(
        call.session,
        Choice(app_id=call.app_id, **chosen),
        after=query.after_id,
        limit=query.limit + 1,
    )
    return page(rows, query, DeliveryView.model_validate, lambda delivery: delivery.id)


@routes.post("/v1/webhooks/retry", needs=Scope.WEBHOOK_MANAGE)
def retry_webhook_deliveries(call: Call, body: RetryBody) -> RetryView:
    """Send deliveries again: all failed ones, those of an endpoint, or those of a time."""
    choice = Choice(app_id=call.app_id, **body.model_dump())
    return RetryView(retried=deliveries.retry_all(call.session, choice))


@routes.get("/v1/webhooks/{webhook_id}", needs=Scope.WEBHOOK_MANAGE)
def get_webhook(call: Call, webhook_id: UUID) -> WebhookView:
    """Show a webhook."""
    return WebhookView.model_validate(endpoints.get(call.session, call.app_id, webhook_id))


@routes.patch("/v1/webhooks/{webhook_id}", needs=Scope.WEBHOOK_MANAGE)
def change_webhook(call: Call, webhook_id: UUID, body: WebhookChange) -> WebhookView:
    """Change a webhook, pause it or let it go on."""
    found = endpoints.get(call.session, call.app_id, webhook_id)
    changed = endpoints.update(call.session, found, body.said(), _reach(call), call.author)
    return WebhookView.model_validate(changed)


@routes.delete("/v1/webhooks/{webhook_id}", needs=Scope.WEBHOOK_MANAGE)
def delete_webhook(call: Call, webhook_id: UUID) -> None:
    """Delete a webhook, with its log and what it has not been told yet."""
    found = endpoints.get(call.session, call.app_id, webhook_id)
    endpoints.delete(call.session, found, call.author)


@routes.post("/v1/webhooks/{webhook_id}/rotate", needs=Scope.WEBHOOK_MANAGE, has_secret=True)
def rotate_webhook_secret(call: Call, webhook_id: UUID, body: Rotation) -> IssuedWebhookView:
    """Replace the secret; the old one signs as well for the grace period."""
    found = endpoints.get(call.session, call.app_id, webhook_id)
    until = call.now + dt.timedelta(seconds=body.grace_s)
    box = secret_box(call.settings)
    return _issued(endpoints.rotate(call.session, box, found, until, call.author))


@routes.post(
    "/v1/webhooks/{webhook_id}/test", needs=Scope.WEBHOOK_MANAGE, status=HTTPStatus.ACCEPTED
)
def test_webhook(call: Call, webhook_id: UUID) -> SentView:
    """Send a test event; the log shows what became of it."""
    found = endpoints.get(call.session, call.app_id, webhook_id)
    one = fanout.test_delivery(call.app_id, found.id, call.now)
    return SentView(delivery_id=fanout.insert(call.session, [one])[0])


@routes.post("/v1/webhooks/{delivery_id}/retry", needs=Scope.WEBHOOK_MANAGE)
def retry_webhook_delivery(call: Call, delivery_id: UUID) -> RetryView:
    """Send one delivery of the log again."""
    deliveries.retry(call.session, call.app_id, delivery_id)
    return RetryView(retried=1)


def _reach(call: Call) -> Reach:
    return Reach.of(call.settings)


def _issued(issued: Issued) -> IssuedWebhookView:
    shown = WebhookView.model_validate(issued.endpoint)
    return IssuedWebhookView(secret=issued.secret, webhook=shown)
