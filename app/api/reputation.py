"""How senders stand: who is warned, slowed or held for what came back, and how a hold ends."""

import datetime as dt
from uuid import UUID

from pydantic import Field

from app.analytics import standing
from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import View
from app.api.paging import Page, PageQuery, page
from app.policy.reputation import Level
from app.tenancy.scopes import Scope

routes = Routes("reputation", about="Who is warned, slowed or held for what came back, and why.")


class SenderView(View):
    """An account, or the app as a whole, as it was judged last."""

    sender_id: UUID = Field(description="The account's id, or the app's own.")
    address: str | None = Field(description="Null for the app as a whole.")
    level: Level
    rule: str | None
    reason: str | None = Field(description="The figures and the rule, in words.")
    per_hour: int | None = Field(description="Mails an hour it may send while it is slowed.")
    score: int | None = Field(description="0 to 100 over 7 days; null = too little to say.")
    figures: dict[str, dict[str, int]] = Field(description="What was counted, by window.")
    changed_at: dt.datetime
    judged_at: dt.datetime
    released_at: dt.datetime | None = Field(description="What was counted before is forgotten.")


@routes.get("/v1/reputation/senders", needs=Scope.ANALYTICS_READ)
def list_senders(call: Call, query: PageQuery) -> Page[SenderView]:
    """List the senders that were ever judged: those something came back for."""
    rows = standing.senders_page(
        call.session, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, SenderView.model_validate, lambda sender: sender.sender_id)


@routes.post("/v1/reputation/senders/{sender_id}/release", needs=Scope.SMTP_MANAGE)
def release_sender(call: Call, sender_id: UUID) -> SenderView:
    """Let a held or slowed sender send freely again; it is judged anew from now on."""
    found = standing.release(call.session, call.app_id, sender_id, call.author, call.now)
    return SenderView.model_validate(found)
