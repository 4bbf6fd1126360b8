"""Recurring jobs: each run once, whoever asks; a downtime is made up for by one run that says so."""

import contextlib
import dataclasses
import datetime as dt
import threading
from uuid import UUID

import pytest

from app.clock import utc_now
from app.db.session import Session, connect
from app.errors import Conflict, InputInvalid, NotFound
from app.scheduling import desks, erasure, recurring
from app.scheduling.recurring import Job, NewJob
from app.submission.accept import accept
from app.submission.desk import Submitter
from app.submission.schemas import Email
from tests import factories
from tests.factories import AUTHOR, PEPPER

NOW = dt.datetime(2026, 1, 7, 8, 30, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
LETTER_FIELDS = {
    "from": "news@shop.example",
    "to": ["ana@example.com"],
    "subject": "Hello {{name}}",
    "html": "<p>Hello {{name}}</p>",
    "personalizations": {"name": "Ana"},
}
LETTER = Email.model_validate(LETTER_FIELDS)


def submit(session: Session, job: Job) -> UUID:
    who = Submitter(app_id=job.app_id, author=AUTHOR, now=utc_now())
    return accept(session, who, job.email, desks.desk(PEPPER)).id


@pytest.fixture
def app_id(session: Session) -> UUID:
    app = factories.make_app(session)
    factories.make_smtp_config(session, app.id)
    return app.id


def make_job(session: Session, app_id: UUID, **fields: object) -> Job:
    given = {"name": "weekly", "cron": "0 * * * *", "email": LETTER} | fields
    return recurring.create(session, NewJob(app_id=app_id, **given), AUTHOR, NOW)


def mails(session: Session) -> int:
    return session.execute("SELECT count(*) FROM emails").fetchone()[0]


def test_a_job_runs_when_its_time_has_come_and_not_before(session, app_id):
    job = make_job(session, app_id)
    assert job.next_run_at == NOW + HOUR / 2
    assert recurring.run_due(session, submit, NOW) == 0
    assert recurring.run_due(session, submit, NOW + HOUR / 2) == 1
    assert recurring.run_due(session, submit, NOW + HOUR / 2) == 0
    (run,) = recurring.runs(session, job)
    assert (run.scheduled_for, run.missed, run.error) == (NOW + HOUR / 2, 0, None)
    found = session.execute("SELECT to_email FROM emails WHERE id = %s", (run.message_id,))
    assert found.fetchone() == ("ana@example.com",)
    after = recurring.get(session, app_id, job.id)
    assert after.next_run_at == NOW + HOUR * 3 / 2
    assert after.last_run_at is not None


def test_after_a_downtime_a_job_runs_once_and_says_what_it_missed(session, app_id):
    job = make_job(session, app_id)
    assert recurring.run_due(session, submit, NOW + 5 * HOUR) == 1
    (run,) = recurring.runs(session, job)
    assert (run.scheduled_for, run.missed) == (NOW + HOUR * 9 / 2, 4)
    assert mails(session) == 1


def test_many_passes_at_once_run_a_job_once(session, app_id, database):
    for number in range(4):
        make_job(session, app_id, name=f"job {number}")
    done = []

    def one_pass():
        with contextlib.closing(connect(database)) as own:
            done.append(recurring.run_due(own, submit, NOW + HOUR))

    threads = [threading.Thread(target=one_pass) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 4
    assert mails(session) == 4


def test_a_run_that_is_refused_keeps_its_reason_and_stops_no_other(session, app_id):
    lost = LETTER.model_copy(update={"queue": "gone"})
    refused = make_job(session, app_id, name="refused", email=Email(**_said(lost)))
    other = make_job(session, app_id, name="other")
    assert recurring.run_due(session, submit, NOW + HOUR) == 2
    assert "gone" in recurring.runs(session, refused)[0].error
    assert recurring.runs(session, refused)[0].message_id is None
    assert recurring.runs(session, other)[0].message_id is not None
    assert recurring.get(session, app_id, refused.id).next_run_at > NOW + HOUR


def _said(email: Email) -> dict[str, object]:
    return email.model_dump(mode="json", by_alias=True, exclude_unset=True) | {"queue": email.queue}


def test_a_disabled_job_rests_and_goes_on_from_now(session, app_id):
    job = make_job(session, app_id, is_enabled=False)
    assert job.next_run_at is None
    assert recurring.run_due(session, submit, NOW + HOUR) == 0
    enabled = dataclasses.replace(job, is_enabled=True)
    changed = recurring.update(session, enabled, AUTHOR, NOW + 2 * HOUR)
    assert changed.next_run_at == NOW + HOUR * 5 / 2


def test_a_person_runs_a_job_besides_its_time(session, app_id):
    job = make_job(session, app_id, is_enabled=False)
    run = recurring.run_now(session, job, submit, AUTHOR, NOW)
    assert run.trigger == "person"
    assert mails(session) == 1


def test_a_run_that_fails_by_hand_keeps_nothing(session, app_id):
    lost = Email(**_said(LETTER.model_copy(update={"queue": "gone"})))
    job = make_job(session, app_id, email=lost)
    with pytest.raises(InputInvalid):
        recurring.run_now(session, job, submit, AUTHOR, NOW)
    assert recurring.runs(session, job) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"cron": "x"}, "cron"), ({"timezone": "Mars/Base"}, "timezone"), ({"name": ""}, "name")],
)
def test_a_job_that_makes_no_sense_names_its_field(session, app_id, fields, field):
    with pytest.raises(InputInvalid) as refused:
        make_job(session, app_id, **fields)
    assert refused.value.field == field


def test_a_recurring_mail_has_no_time_of_its_own(session, app_id):
    timed = Email(**_said(LETTER) | {"scheduled_at": "2030-01-01T10:00:00Z"})
    with pytest.raises(InputInvalid, match="scheduled_at"):
        make_job(session, app_id, email=timed)


def test_names_are_unique_and_other_apps_jobs_not_found(session, app_id):
    job = make_job(session, app_id)
    with pytest.raises(Conflict):
        make_job(session, app_id)
    with pytest.raises(NotFound):
        recurring.get(session, factories.make_app(session).id, job.id)


def test_a_deleted_job_runs_no_more(session, app_id):
    recurring.delete(session, make_job(session, app_id), AUTHOR)
    assert recurring.run_due(session, submit, NOW + HOUR) == 0


@pytest.mark.parametrize(
    ("body", "is_enabled"),
    [
        ({"to": ["ann@shop.example"]}, False),
        ({"to": ["ANN@shop.example"]}, False),
        ({"to": ["joann@shop.example"]}, True),
        ({"to": ["ann@shop.example.org"]}, True),
        ({"to": ["x@y.example"], "text": "Ask\nann@shop.example, please."}, False),
    ],
)
def test_an_erasure_stops_only_jobs_that_name_the_whole_address(session, app_id, body, is_enabled):
    made = make_job(session, app_id, email=Email.model_validate(LETTER_FIELDS | body))
    touched = erasure.erase(session, app_id, "ann@shop.example")["scheduled_jobs"]
    assert touched == (0 if is_enabled else 1)
    assert recurring.get(session, app_id, made.id).is_enabled is is_enabled
    text = session.execute("SELECT action::text FROM scheduled_jobs").fetchone()[0].lower()
    assert is_enabled or "ann@shop.example" not in text
