"""A mail to `unsubscribe+...`, an answer or a provider's event that says the same: honoured at once."""

import datetime as dt

from app.db.session import Session
from app.feedback import mails
from app.feedback.findings import Finding
from app.feedback.mails import Line, Mail
from app.policy.suppression import Reason


def record(session: Session, mail: Mail, finding: Finding, at: dt.datetime, by: str) -> Reason:
    """Suppress the recipient in the app, count the mail as unsubscribed once; return the reason.

    `by` says how the wish came: by mail, or by which provider.
    """
    data = finding.data() | {"by": by}
    mails.note(session, mail, Line(type="unsubscribed", at=at, data=data, key=f" by {by}"))
    # The marker of app/engagement/record: by link and by mail, a mail is unsubscribed from once.
    if mails.note(session, mail, Line(type="first_unsubscribed", at=at, data={"by": by})):
        mails.count(session, mail, "unsubscribed")
    return mails.suppress(session, mail, Reason.UNSUBSCRIBE)
