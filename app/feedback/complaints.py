"""A complaint (ARF, RFC 5965): whoever calls a mail spam gets no other."""

import datetime as dt

from app.db.session import Session
from app.feedback import mails
from app.feedback.findings import Finding
from app.feedback.mails import Line, Mail
from app.lifecycle import evidence
from app.lifecycle.states import State
from app.policy.suppression import Reason


def record(session: Session, mail: Mail, finding: Finding, at: dt.datetime) -> Reason:
    """Mark the mail, suppress its recipient in the app; return the reason."""
    evidence.learn(session, [mail.id], State.COMPLAINED)
    mails.note(session, mail, Line(type="complained", at=at, data=finding.data()))
    return mails.suppress(session, mail, Reason.COMPLAINT)
