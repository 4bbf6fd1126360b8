"""Numbers of an app over time: delivery, engagement, bounces, reputation."""

import datetime as dt
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.analytics import conduct, reputation, series, standing, waits
from app.analytics.reports import Counts
from app.analytics.reputation import Reputation
from app.analytics.series import Bucket, Span
from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import AwareTime, View
from app.api.views import CountsView, counts_view
from app.config import settings
from app.policy.reputation import Conduct
from app.tenancy import queues
from app.tenancy.scopes import Scope

routes = Routes("analytics", about="What an app's mail came to; people apart from machines.")

_LONGEST = dt.timedelta(days=400)
_MOST_POINTS = 10_000


class SpanQuery(BaseModel):
    """Which time: the last 30 days by default. Times carry an offset."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, populate_by_name=True)

    since: Annotated[AwareTime | None, Field(alias="from")] = None
    until: Annotated[AwareTime | None, Field(alias="to")] = None
    queue: str | None = Field(None, max_length=100, description="Only of the queue of this name.")

    @model_validator(mode="after")
    def _ordered(self) -> "SpanQuery":
        if self.since and self.until and not dt.timedelta() < self.until - self.since <= _LONGEST:
            raise ValueError("`to` lies up to 400 days behind `from`")
        return self


class SeriesQuery(SpanQuery):
    """Which time, in which steps."""

    interval: Bucket = Bucket.DAY


class PointView(BaseModel):
    """One step of a series."""

    at: dt.datetime
    counts: CountsView


class SeriesView(BaseModel):
    """A series, oldest first; steps in which nothing happened are left out."""

    interval: Bucket
    data: list[PointView]


class OverviewView(BaseModel):
    """The whole span in one line; rates are shares of accepted mail, null below 1 mail."""

    since: dt.datetime
    until: dt.datetime
    counts: CountsView
    delivery_rate: float | None
    bounce_rate: float | None
    open_rate_human: float | None
    click_rate_human: float | None
    complaint_rate: float | None


class BouncesView(BaseModel):
    """Bounces and what followed from them."""

    sent: int
    bounced: int
    failed: int
    complained: int
    suppressed_by_reason: dict[str, int]


class WaitView(View):
    """How often one gate kept mail back; a mail may be kept back more than once."""

    gate: str
    rules: int = Field(description="Version of the rules that named the gate.")
    times: int
    first_at: dt.datetime
    last_at: dt.datetime


class WaitsView(BaseModel):
    """What kept mail back, the most frequent gate first."""

    data: list[WaitView]


class ReputationView(BaseModel):
    """Rates of a time, their score and its reasons; null = too little to say."""

    window: str
    sent: int
    bounce_rate: float | None
    complaint_rate: float | None
    score: int | None
    reasons: list[str]


class ReputationsView(BaseModel):
    """The last 24 hours and the last 7 days."""

    data: list[ReputationView]


@routes.get("/v1/analytics/overview", needs=Scope.ANALYTICS_READ)
def analytics_overview(call: Call, query: SpanQuery) -> OverviewView:
    """Add everything up."""
    span = _span(call, query)
    counts = series.total(call.session, call.app_id, span)
    return OverviewView(
        since=span.since,
        until=span.until,
        counts=counts_view(counts),
        delivery_rate=_rate(counts, counts.sent - counts.bounced),
        bounce_rate=_rate(counts, counts.bounced),
        open_rate_human=_rate(counts, counts.opened_human),
        click_rate_human=_rate(counts, counts.clicked_human),
        complaint_rate=_rate(counts, counts.complained),
    )


@routes.get("/v1/analytics/delivery", needs=Scope.ANALYTICS_READ)
def analytics_delivery(call: Call, query: SeriesQuery) -> SeriesView:
    """Show planned, sent, failed and the others over time."""
    return _series(call, query)


@routes.get("/v1/analytics/engagement", needs=Scope.ANALYTICS_READ)
def analytics_engagement(call: Call, query: SeriesQuery) -> SeriesView:
    """Show opens, clicks and unsubscribes over time, people's apart from machines'."""
    return _series(call, query)


@routes.get("/v1/analytics/bounces", needs=Scope.ANALYTICS_READ)
def analytics_bounces(call: Call, query: SpanQuery) -> BouncesView:
    """Break bounces down by what followed."""
    span = _span(call, query)
    counts = series.total(call.session, call.app_id, span)
    return BouncesView(
        sent=counts.sent,
        bounced=counts.bounced,
        failed=counts.failed,
        complained=counts.complained,
        suppressed_by_reason=series.suppressed_by_reason(call.session, call.app_id, span),
    )


@routes.get("/v1/analytics/waits", needs=Scope.ANALYTICS_READ)
def analytics_waits(call: Call, query: SpanQuery) -> WaitsView:
    """Say which gates kept mail back, how often, from when to when."""
    found = waits.waits(call.session, call.app_id, _span(call, query))
    return WaitsView(data=[WaitView.model_validate(one) for one in found])


@routes.get("/v1/analytics/reputation", needs=Scope.ANALYTICS_READ)
def analytics_reputation(call: Call) -> ReputationsView:
    """Judge how the app's mail is received, with reasons."""
    ever = series.total(
        call.session, call.app_id, Span(since=call.now - _LONGEST, until=_end_of(call.now))
    )
    windows = conduct.of_app(call.session, call.app_id, call.now).get(call.app_id, {})
    limits = standing.thresholds(settings())
    scores = {
        name: reputation.score(
            windows.get(window, Conduct()), limits, has_feedback=ever.complained > 0
        )
        for name, window in (("24h", conduct.DAY), ("7d", conduct.WEEK))
    }
    return ReputationsView(data=[_reputation(name, found) for name, found in scores.items()])


def _reputation(name: str, found: Reputation) -> ReputationView:
    return ReputationView(
        window=name,
        sent=found.sent,
        bounce_rate=found.bounce_rate,
        complaint_rate=found.complaint_rate,
        score=found.score,
        reasons=list(found.reasons),
    )


def _series(call: Call, query: SeriesQuery) -> SeriesView:
    points = series.series(call.session, call.app_id, _span(call, query), query.interval)
    return SeriesView(
        interval=query.interval,
        data=[PointView(at=p.at, counts=counts_view(p.counts)) for p in points[-_MOST_POINTS:]],
    )


def _span(call: Call, query: SpanQuery) -> Span:
    until = query.until or _end_of(call.now)
    queue_id: UUID | None = None
    if query.queue is not None:
        queue_id = queues.get_by_name(call.session, call.app_id, query.queue).id
    since = query.since or until - dt.timedelta(days=30)
    return Span(since=since, until=until, queue_id=queue_id)


def _end_of(now: dt.datetime) -> dt.datetime:
    """Return the end of the running minute: what was just counted is in it."""
    return now.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)


def _rate(counts: Counts, part: int) -> float | None:
    return part / counts.sent if counts.sent else None
