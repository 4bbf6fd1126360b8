"""What the submission room needs to know of a request: who submits, and with which neighbours."""

import functools

from flask import request

from app.api.call import Call
from app.config import Settings
from app.db.session import thread_session
from app.scheduling import desks
from app.submission import idempotency
from app.submission.accept import Accepted, Submission, accept_all
from app.submission.crowd import Crowd
from app.submission.desk import Desk, Submitter
from app.submission.schemas import Email


def desk(call: Call) -> Desk:
    """Return what other rooms do for a submission."""
    return desks.desk(call.settings.address_pepper.get_secret_value())


def crowd_of(settings: Settings) -> Crowd:
    """Return where the e-mails of a process's requests meet."""
    desk = desks.desk(settings.address_pepper.get_secret_value())
    return Crowd(functools.partial(thread_session, settings.database_url), desk)


def take(call: Call, order: Email) -> Accepted:
    """Store one e-mail: in the transaction of its idempotency key, or with the crowd's."""
    submission = Submission(who=submitter(call), order=order)
    if call.crowd is not None:
        return call.crowd.take(submission)
    return accept_all(call.session, [submission], desk(call))[0]


def submitter(call: Call) -> Submitter:
    """Return who submits, and when."""
    return Submitter(
        app_id=call.app_id,
        author=call.author,
        now=call.now,
        is_simulated=call.caller.is_test,
        idempotency_key=request.headers.get(idempotency.HEADER),
        request_id=call.request_id,
    )
