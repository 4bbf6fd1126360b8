"""Answers to a mail: a person's, a machine's, a vacation program's."""

import datetime as dt
from typing import Any

from app.db.session import Session
from app.feedback import mails
from app.feedback.findings import Finding
from app.feedback.mails import Line, Mail
from app.mail.answer import Answer

ABSENT_FOR = dt.timedelta(days=3)  # what a vacation notice keeps a sequence waiting
_LONGEST = 200


def record(session: Session, mail: Mail, finding: Finding, answer: Answer, at: dt.datetime) -> None:
    """Note a person's answer on the timeline, once per Message-ID; the first one is counted."""
    data = finding.data() | _thread(answer)
    mails.note(session, mail, Line(type="replied", at=at, data=data, key=_key(answer)))
    if mails.note(session, mail, Line(type="first_replied", at=at, data={})):
        mails.count(session, mail, "replied")


def record_automatic(
    session: Session, mail: Mail, finding: Finding, answer: Answer, at: dt.datetime
) -> None:
    """Note a machine's answer on the timeline."""
    data = finding.data() | _thread(answer)
    mails.note(session, mail, Line(type="auto_replied", at=at, data=data, key=_key(answer)))


def _key(answer: Answer) -> str:
    return " " + answer.message.headers.first("message-id").strip()


def _thread(answer: Answer) -> dict[str, Any]:
    return {
        "message_id": answer.message.headers.first("message-id").strip()[:_LONGEST],
        "answers": list(answer.original_ids[:10]),
    }
