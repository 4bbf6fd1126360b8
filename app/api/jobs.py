"""`/v1/scheduled-jobs`: recurring e-mails, by cron in a time zone."""

import dataclasses
import datetime as dt
import functools
import itertools
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from app.api.call import Call
from app.api.endpoint import Routes
from app.api.forms import Given, View
from app.api.paging import Page, PageQuery, page
from app.api.submitting import take
from app.db.session import Session
from app.scheduling import cron, recurring
from app.scheduling.recurring import Job, NewJob, Run
from app.submission.schemas import Email
from app.tenancy.scopes import Scope

routes = Routes("scheduled-jobs", about="Recurring e-mails, by cron in a time zone.")

_SHOWN_RUNS = 5

Name = Annotated[str, Field(min_length=1, max_length=100)]
Cron = Annotated[str, Field(min_length=9, max_length=200, examples=["0 9 * * MON"])]
Zone = Annotated[str, Field(min_length=1, max_length=100, examples=["Europe/Berlin"])]


class JobBody(Given):
    """A job to create: `email` is submitted at each run, as by POST /v1/emails."""

    name: Name
    cron: Cron
    timezone: Zone = "UTC"
    is_enabled: bool = True
    email: Email


class JobChange(Given):
    """What is to change; what is left out stays. The next run is counted from now."""

    name: Name | None = None
    cron: Cron | None = None
    timezone: Zone | None = None
    is_enabled: bool | None = None
    email: Email | None = None


class JobView(View):
    """A job as it stands, when it runs in words, and its next runs."""

    id: UUID
    name: str
    cron: str
    timezone: str
    words: str
    is_enabled: bool
    next_run_at: dt.datetime | None
    next_runs: list[dt.datetime]
    last_run_at: dt.datetime | None
    email: dict[str, Any]
    created_at: dt.datetime


class RunView(View):
    """A run. `missed`: earlier times it stands for; `error`: why nothing was submitted."""

    id: UUID
    scheduled_for: dt.datetime
    trigger: str
    missed: int
    email_id: Annotated[UUID | None, Field(validation_alias="message_id")]
    error: str | None
    created_at: dt.datetime


@routes.post("/v1/scheduled-jobs", needs=Scope.EMAIL_SEND, status=HTTPStatus.CREATED)
def create_scheduled_job(call: Call, body: JobBody) -> JobView:
    """Create a recurring e-mail."""
    call.require_live()
    given = {name: getattr(body, name) for name in JobBody.model_fields}
    new = NewJob(app_id=call.app_id, **given)
    return _view(call, recurring.create(call.session, new, call.author, call.now))


@routes.get("/v1/scheduled-jobs", needs=Scope.EMAIL_READ)
def list_scheduled_jobs(call: Call, query: PageQuery) -> Page[JobView]:
    """List the recurring e-mails."""
    rows = recurring.list_page(
        call.session, call.app_id, after=query.after_id, limit=query.limit + 1
    )
    return page(rows, query, functools.partial(_view, call), lambda job: job.id)


@routes.get("/v1/scheduled-jobs/{job_id}", needs=Scope.EMAIL_READ)
def get_scheduled_job(call: Call, job_id: UUID) -> JobView:
    """Show a recurring e-mail and its next five runs."""
    return _view(call, recurring.get(call.session, call.app_id, job_id))


@routes.patch("/v1/scheduled-jobs/{job_id}", needs=Scope.EMAIL_SEND)
def change_scheduled_job(call: Call, job_id: UUID, body: JobChange) -> JobView:
    """Change a recurring e-mail, or let it rest."""
    call.require_live()
    said = {name: value for name, value in body.said().items() if value is not None}
    email = said.pop("email", None)
    if email is not None:
        said["action"] = recurring.action_of(email)
    found = recurring.get(call.session, call.app_id, job_id)
    changed = dataclasses.replace(found, **said)
    return _view(call, recurring.update(call.session, changed, call.author, call.now))


@routes.delete("/v1/scheduled-jobs/{job_id}", needs=Scope.EMAIL_SEND)
def delete_scheduled_job(call: Call, job_id: UUID) -> None:
    """Delete a recurring e-mail; what it submitted stays."""
    found = recurring.get(call.session, call.app_id, job_id)
    recurring.delete(call.session, found, call.author)


@routes.post("/v1/scheduled-jobs/{job_id}/run", needs=Scope.EMAIL_SEND, status=HTTPStatus.ACCEPTED)
def run_scheduled_job(call: Call, job_id: UUID) -> RunView:
    """Submit a recurring e-mail now, besides its runs."""
    call.require_live()
    found = recurring.get(call.session, call.app_id, job_id)

    def submit(session: Session, job: Job) -> UUID:
        del session  # the request's own
        return take(call, job.email).id

    ran = recurring.run_now(call.session, found, submit, call.author, call.now)
    return RunView.model_validate(ran)


@routes.get("/v1/scheduled-jobs/{job_id}/runs", needs=Scope.EMAIL_READ)
def list_scheduled_job_runs(call: Call, job_id: UUID, query: PageQuery) -> Page[RunView]:
    """List the runs of a recurring e-mail."""
    found = recurring.get(call.session, call.app_id, job_id)
    rows = recurring.runs(call.session, found, after=query.after_id, limit=query.limit + 1)
    return page(rows, query, RunView.model_validate, _key)


def _key(run: Run) -> UUID:
    return run.id


def _view(call: Call, job: Job) -> JobView:
    runs = cron.runs_after(job.cron, job.timezone, call.now) if job.is_enabled else iter(())
    return JobView(
        id=job.id,
        name=job.name,
        cron=job.cron,
        timezone=job.timezone,
        words=cron.in_words(job.cron, job.timezone),
        is_enabled=job.is_enabled,
        next_run_at=job.next_run_at,
        next_runs=list(itertools.islice(runs, _SHOWN_RUNS)),
        last_run_at=job.last_run_at,
        email=job.action["email"],
        created_at=job.created_at,
    )
