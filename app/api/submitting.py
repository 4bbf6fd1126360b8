"""What the submission room needs to know of a request: who submits, and with which neighbours."""

from flask import request

from app.api.call import Call
from app.scheduling import desks
from app.submission import idempotency
from app.submission.desk import Desk, Submitter


def desk(call: Call) -> Desk:
    """Return what other rooms do for a submission."""
    return desks.desk(call.settings.address_pepper.get_secret_value())


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
