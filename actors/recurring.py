"""schedule, for recurring jobs: what is due is submitted like any other e-mail."""

from uuid import UUID

from app.clock import utc_now
from app.config import Settings
from app.db.session import Session
from app.scheduling import desks, recurring
from app.scheduling.recurring import CLOCK, Job
from app.submission.accept import accept
from app.submission.desk import Submitter


def run_jobs(session: Session, config: Settings) -> int:
    """Run the recurring jobs that are due; return how many ran."""
    now = utc_now()
    desk = desks.desk(config.address_pepper.get_secret_value())

    def submit(session: Session, job: Job) -> UUID:
        who = Submitter(app_id=job.app_id, author=CLOCK, now=now)
        return accept(session, who, job.email, desk).id

    return recurring.run_due(session, submit, now)
