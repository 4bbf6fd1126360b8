"""/v1/emails and /v1/batches: submit, look up, take back, try again, explain."""

import contextlib
import functools
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.api import email_views
from app.api.call import Call
from app.api.email_views import (
    AcceptedBatchView,
    AcceptedView,
    BatchView,
    EmailView,
    EventsView,
    ExplanationView,
    RejectedView,
    Status,
)
from app.api.endpoint import Routes, Unit
from app.api.forms import Time
from app.api.paging import Page, PageQuery, cursor_of
from app.api.submitting import desk, submitter, take
from app.lifecycle import explain as explaining
from app.policy.rate_limits import RateLimiter
from app.privacy import address_hash
from app.scheduling.openings import asking
from app.submission import batch, lookup, timeline, withdraw
from app.submission.lookup import Filter
from app.submission.route import queue_named
from app.submission.schemas import Address, Batch, Email
from app.tenancy.scopes import Scope

routes = Routes("emails", about="Submit e-mails, one or many, and see what became of them.")

BODY_BYTES = 36_000_000  # files of 15 MB in base64, content, and 10,000 recipients


class EmailQuery(PageQuery):
    """Which e-mails, the newest first. `to` finds submissions; campaign mails stand by campaign."""

    status: Status | None = None
    queue: Annotated[str | None, Field(max_length=100, description="Name or id.")] = None
    tag: Annotated[str | None, Field(max_length=100)] = None
    to: Annotated[Address | None, Field(description="A recipient's address.")] = None
    batch_id: UUID | None = None
    campaign_id: UUID | None = None
    since: Annotated[Time | None, Field(description="Submitted at or after; UTC if no zone.")] = (
        None
    )
    until: Annotated[Time | None, Field(description="Submitted before.")] = None


@routes.post(
    "/v1/emails",
    needs=Scope.EMAIL_SEND,
    unit=Unit.SHARED,
    status=HTTPStatus.ACCEPTED,
    body_bytes=BODY_BYTES,
)
def send_email(call: Call, body: Email) -> AcceptedView:
    """Submit one e-mail.

    Each address in to, cc and bcc gets a copy of its own; who is suppressed is reported in
    `recipients` and gets nothing. A `scheduled_at` that has passed means now. The id names the
    e-mail with all its copies.
    """
    return email_views.accepted_view(take(call, body))


@routes.post(
    "/v1/emails/batch", needs=Scope.EMAIL_SEND, status=HTTPStatus.ACCEPTED, body_bytes=BODY_BYTES
)
def send_batch(call: Call, body: Batch) -> AcceptedBatchView:
    """Submit shared content for up to 10,000 recipients.

    The batch is stored before the answer; its mails are made within seconds. Recipients that
    cannot be written to are reported with their place; the others get their mail.
    """
    done = batch.accept_batch(call.session, submitter(call), body, desk(call))
    call.after_commit.append(functools.partial(call.outside.wake, None))
    return email_views.batch_accepted_view(done)


@routes.get("/v1/emails", needs=Scope.EMAIL_READ)
def list_emails(call: Call, query: EmailQuery) -> Page[EmailView]:
    """List mails, one for each recipient.

    With a filter a page may be short although the list goes on: `has_more` says so.
    """
    pepper = call.settings.address_pepper.get_secret_value()
    wanted = Filter(
        status=query.status.state if query.status else None,
        queue_id=queue_named(call.session, call.app_id, query.queue) if query.queue else None,
        batch_id=query.batch_id,
        campaign_id=query.campaign_id,
        tag=query.tag,
        to_hash=address_hash(query.to, pepper) if query.to else None,
        since=query.since,
        until=query.until,
    )
    found = lookup.list_mails(call.session, call.app_id, wanted, query.after_id, query.limit)
    return Page(
        data=[email_views.email_view([mail]) for mail in found.mails],
        cursor=cursor_of(found.next_after) if found.next_after else None,
        has_more=found.next_after is not None,
    )


@routes.get("/v1/emails/{email_id}", needs=Scope.EMAIL_READ)
def get_email(call: Call, email_id: UUID) -> EmailView:
    """Show an e-mail."""
    return email_views.email_view(lookup.submission(call.session, call.app_id, email_id))


@routes.get("/v1/emails/{email_id}/events", needs=Scope.EMAIL_READ)
def list_email_events(call: Call, email_id: UUID) -> EventsView:
    """Show what happened to an e-mail.

    Queued, processing, sent, delivered, opened, clicked, bounced, complained, unsubscribed and
    what else there was, each with its time and details.
    """
    mails = lookup.submission(call.session, call.app_id, email_id)
    lines = [line for mail in mails for line in timeline.lines_of(call.session, mail)]
    return EventsView(data=[email_views.event_view(line) for line in lines])


@routes.delete("/v1/emails/{email_id}", needs=Scope.EMAIL_SEND)
def cancel_email(call: Call, email_id: UUID) -> EmailView:
    """Cancel an e-mail that still waits."""
    return email_views.email_view(withdraw.cancel(call.session, submitter(call), email_id))


@routes.post("/v1/emails/{email_id}/retry", needs=Scope.EMAIL_SEND, status=HTTPStatus.ACCEPTED)
def retry_email(call: Call, email_id: UUID) -> EmailView:
    """Let a failed e-mail start again."""
    mails = withdraw.retry(call.session, submitter(call), email_id)
    call.after_commit.append(functools.partial(call.outside.wake, mails[0].account_id))
    return email_views.email_view(mails)


@routes.get("/v1/emails/{email_id}/explain", needs=Scope.EMAIL_READ, unit=Unit.OWN)
def explain_email(call: Call, email_id: UUID) -> ExplanationView:
    """Explain why a mail goes, waits or went."""
    with call.tenant():
        mail = lookup.submission(call.session, call.app_id, email_id)[0]
    with contextlib.closing(RateLimiter(call.settings.redis_url)) as limiter:
        ask = asking(call.session, limiter, call.settings.global_per_minute or None, call.now)
        found = explaining.explain(call.session, mail.id, ask_limits=ask, now=call.now)
    return email_views.explanation_view(found)


@routes.get("/v1/batches/{batch_id}", needs=Scope.EMAIL_READ)
def get_batch(call: Call, batch_id: UUID) -> BatchView:
    """Show how a batch stands."""
    found = batch.get(call.session, call.app_id, batch_id)
    counts = lookup.batch_counts(call.session, call.app_id, batch_id)
    return BatchView(
        id=found.id,
        status=found.status,
        accepted=found.accepted,
        expanded=found.expanded,
        rejected=found.rejected,
        counts={str(email_views.status_of(state)): count for state, count in counts.items()},
        created_at=found.created_at,
    )


@routes.get("/v1/batches/{batch_id}/rejected", needs=Scope.EMAIL_READ)
def list_rejected(call: Call, batch_id: UUID, query: PageQuery) -> Page[RejectedView]:
    """List the recipients of a batch that cannot be written to, in the order of the request."""
    start = _place(query)
    found = batch.rejected(call.session, call.app_id, batch_id, start, query.limit + 1)
    end = start + query.limit
    has_more = len(found) > query.limit
    return Page(
        data=[RejectedView(**one) for one in found[: query.limit]],
        cursor=cursor_of(str(end)) if has_more else None,
        has_more=has_more,
    )


def _place(query: PageQuery) -> int:
    """Return behind which entry a page starts; a cursor of another list starts at the front."""
    text = query.after_text or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
