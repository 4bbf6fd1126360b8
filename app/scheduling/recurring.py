"""Recurring jobs: an e-mail submitted again and again, by cron in a time zone (DESIGN 10).

A run is a row, unique by job and time, written with the submission and the job's next time in one
transaction: it happens once, whoever asks and however often. What a downtime missed is made up for
by one run, which says how many it stands for.
"""

import dataclasses
import datetime as dt
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from app.audit import Author, entry_of, note_change, record
from app.db.session import Session
from app.errors import InputInvalid, MailqueueError, NotFound
from app.ids import new_id
from app.log import Event, logger
from app.scheduling import calendar, cron
from app.submission.schemas import Email
from app.tenancy import checks

_entry = functools.partial(entry_of, "scheduled_job")

CLOCK = Author(name="clock")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to create: `email` is submitted at each run of `cron` in `timezone`."""

    app_id: UUID
    name: str
    cron: str
    email: Email
    timezone: str = "UTC"
    is_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it stands; `action` holds its e-mail. `next_run_at` None: it does not run."""

    id: UUID
    app_id: UUID
    name: str
    cron: str
    timezone: str
    action: dict[str, Any]
    is_enabled: bool
    next_run_at: dt.datetime | None
    last_run_at: dt.datetime | None
    created_at: dt.datetime

    @property
    def email(self) -> Email:
        """Return what is submitted."""
        return Email.model_validate(self.action["email"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. `missed`: earlier times it stands for; `error`: why nothing was submitted."""

    id: UUID
    job_id: UUID
    scheduled_for: dt.datetime
    trigger: str
    missed: int
    message_id: UUID | None
    error: str | None
    created_at: dt.datetime


# Submits a job's e-mail in the open transaction; returns the e-mail's id.
Submit = Callable[[Session, Job], UUID]

_COLUMNS = """id, app_id, name, cron, timezone, action, is_enabled, next_run_at, last_run_at,
       created_at"""
_GET = f"SELECT {_COLUMNS} FROM scheduled_jobs WHERE app_id = %(app_id)s AND id = %(id)s"  # noqa: S608 - constants of this module
_PAGE = f"""
SELECT {_COLUMNS} FROM scheduled_jobs
WHERE app_id = %(app_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - as above
# Index scheduled_jobs_due. A job another pass works on is left to it.
_DUE = f"""
SELECT {_COLUMNS} FROM scheduled_jobs WHERE next_run_at <= %(now)s AND is_enabled
ORDER BY next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED"""  # noqa: S608 - as above
_INSERT = """
INSERT INTO scheduled_jobs (id, app_id, name, cron, timezone, action, is_enabled, next_run_at)
VALUES (%(id)s, %(app_id)s, %(name)s, %(cron)s, %(timezone)s, %(action)s, %(is_enabled)s,
        %(next_run_at)s)"""
_UPDATE = """
UPDATE scheduled_jobs SET name = %(name)s, cron = %(cron)s, timezone = %(timezone)s,
       action = %(action)s, is_enabled = %(is_enabled)s, next_run_at = %(next_run_at)s
WHERE app_id = %(app_id)s AND id = %(id)s"""
_ADVANCE = """
UPDATE scheduled_jobs SET next_run_at = %(next_run_at)s, last_run_at = now() WHERE id = %(id)s"""
_DELETE = "DELETE FROM scheduled_jobs WHERE app_id = %(app_id)s AND id = %(id)s"
_RUN_COLUMNS = "id, job_id, scheduled_for, trigger, missed, message_id, error, created_at"
_INSERT_RUN = f"""
INSERT INTO scheduled_job_runs
    (id, app_id, job_id, scheduled_for, trigger, missed, message_id, error)
VALUES (%(id)s, %(app_id)s, %(job_id)s, %(scheduled_for)s, %(trigger)s, %(missed)s,
        %(message_id)s, %(error)s)
RETURNING {_RUN_COLUMNS}"""  # noqa: S608 - as above
# Index scheduled_job_runs_job_id_scheduled_for_key.
_FORGET_RUNS = """
DELETE FROM scheduled_job_runs
WHERE job_id = %(id)s AND scheduled_for < %(now)s::timestamptz - interval '90 days'"""
_RUNS = f"""
SELECT {_RUN_COLUMNS} FROM scheduled_job_runs
WHERE app_id = %(app_id)s AND job_id = %(job_id)s AND (%(after)s::uuid IS NULL OR id < %(after)s)
ORDER BY id DESC LIMIT %(limit)s"""  # noqa: S608 - as above


def create(session: Session, new: NewJob, author: Author, now: dt.datetime) -> Job:
    """Create a job; raises InputInvalid naming the field, Conflict (name)."""
    job = Job(
        id=new_id(),
        app_id=new.app_id,
        name=new.name,
        cron=new.cron,
        timezone=new.timezone,
        action=action_of(new.email),
        is_enabled=new.is_enabled,
        next_run_at=None,
        last_run_at=None,
        created_at=now,
    )
    checked = _checked(job, now)
    with checks.unique("scheduled job", checked.name), session.transaction():
        session.execute(_INSERT, _row(checked))
        made = get(session, checked.app_id, checked.id)
        record(session, dataclasses.replace(_entry(made, author, "created"), after=_facts(made)))
    return made


def action_of(email: Email) -> dict[str, Any]:
    """Return an e-mail as a job keeps it: what was said, and nothing else."""
    return {"email": email.model_dump(mode="json", by_alias=True, exclude_unset=True)}


def get(session: Session, app_id: UUID, job_id: UUID) -> Job:
    """Return a job of an app; raises NotFound."""
    found = _jobs(session, _GET, {"app_id": app_id, "id": job_id})
    if not found:
        raise NotFound(f"There is no scheduled job {job_id} in this app.", field="scheduled_job")
    return found[0]


def list_page(
    session: Session, app_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[Job]:
    """Return jobs of an app, newest first, below the id `after`."""
    return _jobs(session, _PAGE, {"app_id": app_id, "after": after, "limit": limit})


def update(session: Session, changed: Job, author: Author, now: dt.datetime) -> Job:
    """Store every field of a job; its next run is counted from `now`.

    Raises InputInvalid naming the field, Conflict (name), NotFound.
    """
    checked = _checked(changed, now)
    with checks.unique("scheduled job", checked.name), session.transaction():
        before = get(session, checked.app_id, checked.id)
        session.execute(_UPDATE, _row(checked))
        note_change(session, _entry(checked, author, "updated"), _facts(before), _facts(checked))
        return get(session, checked.app_id, checked.id)


def delete(session: Session, job: Job, author: Author) -> None:
    """Delete a job and the list of its runs; what it submitted stays."""
    with session.transaction():
        if session.execute(_DELETE, {"app_id": job.app_id, "id": job.id}).rowcount:
            entry = _entry(job, author, "deleted")
            record(session, dataclasses.replace(entry, before={"name": job.name}))


def runs(session: Session, job: Job, *, after: UUID | None = None, limit: int = 50) -> list[Run]:
    """Return the runs of a job, newest first, below the id `after`."""
    binds = {"app_id": job.app_id, "job_id": job.id, "after": after, "limit": limit}
    return session.cursor(row_factory=class_row(Run)).execute(_RUNS, binds).fetchall()


def run_now(session: Session, job: Job, submit: Submit, author: Author, now: dt.datetime) -> Run:
    """Run a job once because a person says so, whether or not it is enabled.

    Raises what the submission raises; then nothing is kept.
    """
    with checks.unique("run of", job.name, "time"), session.transaction():
        row = _run_row(job, now, "person") | {"message_id": submit(session, job)}
        record(session, _entry(job, author, "run"))
        return _insert_run(session, row)


def run_due(session: Session, submit: Submit, now: dt.datetime, *, limit: int = 200) -> int:
    """Run what is due, each job in a transaction of its own; return how many ran.

    Needs a worker's session. Two passes at once share the jobs; a run refused by the submission
    is kept with its reason, and the job goes on.
    """
    done = 0
    while done < limit:
        with session.transaction():
            due = _jobs(session, _DUE, {"now": now})
            if not due:
                break
            _run_one(session, due[0], submit, now)
        done += 1
    return done


def _run_one(session: Session, job: Job, submit: Submit, now: dt.datetime) -> None:
    first = job.next_run_at or now
    try:
        scheduled_for, missed = cron.due_runs(job.cron, job.timezone, first, now)
        next_run_at = cron.next_run(job.cron, job.timezone, now)
    except InputInvalid:  # its time zone is gone: once more, and then no job may stop the others
        scheduled_for, missed, next_run_at = first, 0, None
    row = _run_row(job, scheduled_for, "clock") | {"missed": missed}
    try:
        with session.transaction():
            row["message_id"] = submit(session, job)
    except (MailqueueError, ValidationError) as error:
        row["error"] = str(error)
        logger().warning(Event.JOB_REFUSED, job_id=str(job.id), error=str(error))
    _insert_run(session, row)
    session.execute(_ADVANCE, {"id": job.id, "next_run_at": next_run_at})
    session.execute(_FORGET_RUNS, {"id": job.id, "now": now})
    logger().info(Event.JOB_RAN, job_id=str(job.id), missed=missed)


def _run_row(job: Job, scheduled_for: dt.datetime, trigger: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "app_id": job.app_id,
        "job_id": job.id,
        "scheduled_for": scheduled_for,
        "trigger": trigger,
        "missed": 0,
        "message_id": None,
        "error": None,
    }


def _insert_run(session: Session, row: Mapping[str, Any]) -> Run:
    (made,) = session.cursor(row_factory=class_row(Run)).execute(_INSERT_RUN, row).fetchall()
    return made


def _checked(job: Job, now: dt.datetime) -> Job:
    calendar.zone_named(job.timezone)
    expression = cron.checked(job.cron)
    next_run_at = cron.next_run(expression, job.timezone, now) if job.is_enabled else None
    _require_timeless(job.email)
    return dataclasses.replace(
        job, name=checks.name(job.name), cron=expression, next_run_at=next_run_at
    )


def _require_timeless(email: Email) -> None:
    for name in ("scheduled_at", "expires_at"):
        if getattr(email, name) is not None:
            raise InputInvalid(
                f"A recurring e-mail cannot have {name}.",
                why="The job's cron expression says when it goes.",
                fix="Leave it out.",
                field=f"email.{name}",
            )


def _row(job: Job) -> dict[str, Any]:
    return dataclasses.asdict(job) | {"action": Jsonb(job.action)}


def _jobs(session: Session, query: LiteralString, binds: Mapping[str, Any]) -> list[Job]:
    return session.cursor(row_factory=class_row(Job)).execute(query, binds).fetchall()


def _facts(job: Job) -> dict[str, Any]:
    # Without the e-mail: the audit log holds no address.
    names = ("name", "cron", "timezone", "is_enabled")
    return {name: getattr(job, name) for name in names}
