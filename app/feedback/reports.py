"""Which mail a feedback report is about, when it came to the one address of all feedback loops.

That address names no mail, so the report has to: by an address in the mail it returns whose MAC
holds (return path, List-Unsubscribe, Reply-To), or by a Message-ID of ours together with the
recipient's address. Whoever can say either has had the mail in hands.
"""

from app.db.session import Session
from app.feedback import mails
from app.feedback.mails import Mail
from app.mail.answer import Answer, AnswerKind
from app.mail.verp import CodedDomain, named_by

_MOST_IDS = 10


def find_mail(session: Session, raw: bytes, answer: Answer, coded: CodedDomain) -> Mail | None:
    """Return the mail a report proves to be about; None for one that proves nothing."""
    if answer.kind is not AnswerKind.COMPLAINT:
        return None
    signed = coded.first_in(raw.decode("latin-1"))
    if signed is not None:
        return mails.find(session, signed.email_id)
    told = {verdict.address.strip().casefold() for verdict in answer.verdicts}
    for email_id in filter(None, map(named_by, answer.original_ids[:_MOST_IDS])):
        mail = mails.find(session, email_id)
        if mail is not None and mail.to_email.casefold() in told:
            return mail
    return None
