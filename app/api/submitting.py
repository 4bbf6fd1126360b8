"""What the submission room needs of its neighbours, joined here: content, senders, who submits."""

from uuid import UUID

from flask import request

from app.api.call import Call
from app.assembly.contents import version_for
from app.db.session import Session
from app.submission import idempotency
from app.submission.desk import Desk, NewSender, Submitter
from app.tenancy import senders


def desk(call: Call) -> Desk:
    """Return what other rooms do for a submission."""
    return Desk(
        store_content=version_for,
        open_account=_open_account,
        pepper=call.settings.address_pepper.get_secret_value(),
    )


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


def _open_account(session: Session, new: NewSender) -> UUID:
    return senders.open_account(session, new.app_id, new.address, new.display_name, new.author)
