"""What the submission room needs to know of a request: who submits, and with which neighbours."""

import functools
from typing import Any

from flask import request
from pydantic import ValidationError

from app.api.call import Call
from app.config import Settings
from app.db.session import thread_session
from app.errors import InputInvalid
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
    """Store one e-mail, with the crowd's or in the request's transaction; release it if it is due."""
    submission = Submission(who=submitter(call), order=order)
    if call.crowd is not None:
        done = call.crowd.take(submission)
    else:
        done = accept_all(call.session, [submission], desk(call))[0]
    if done.due_at <= call.now:
        call.after_commit.append(functools.partial(call.outside.wake, done.account_id))
    return done


def order_of(**fields: Any) -> Email:
    """Return the e-mail these fields make; raises InputInvalid for what only the whole shows."""
    try:
        return Email(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise InputInvalid(
            "The e-mail cannot be taken.",
            why=f"{first['msg']}.",
            fix="Correct it; nothing of this request was kept.",
            field="/".join(map(str, first["loc"])) or None,
        ) from error


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
