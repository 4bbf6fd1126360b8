"""Taking a mail back while it waits, and letting a failed one try again. Both are audited."""

from collections.abc import Sequence
from uuid import UUID

from app.audit import AuditEntry, Author, record
from app.db.session import Session
from app.errors import Conflict
from app.ids import new_id
from app.lifecycle import transitions
from app.lifecycle.events import TimelineEvent, append
from app.lifecycle.states import STOPPED, State
from app.submission import lookup
from app.submission.desk import Submitter
from app.submission.lookup import Mail


def cancel(session: Session, who: Submitter, email_id: UUID) -> list[Mail]:
    """Cancel what an id names, as far as it still waits; return its mails as they are then.

    Call inside a transaction. Raises NotFound, and Conflict when nothing of it waits any more.
    """
    mails = lookup.submission(session, who.app_id, email_id)
    waiting = [mail for mail in mails if mail.state in {State.SCHEDULED, State.QUEUED}]
    reason = f"cancelled by {who.author.name}"
    transitions.stop(session, [(mail.id, reason) for mail in waiting], State.CANCELLED)
    after = lookup.submission(session, who.app_id, email_id)
    before = {mail.id: mail.state for mail in mails}
    moved = [
        mail
        for mail in after
        if mail.state is State.CANCELLED and before[mail.id] is not State.CANCELLED
    ]
    if not moved:
        raise Conflict(
            f"The e-mail cannot be cancelled: it is {_said(after)}.",
            why="Only what is scheduled or queued can be taken back.",
            fix=_advice(after),
            field="email_id",
        )
    _note(session, who, moved, "cancelled")
    return after


def retry(session: Session, who: Submitter, email_id: UUID) -> list[Mail]:
    """Let what failed of an id's mails start again with its first attempt, due now.

    Call inside a transaction. Raises NotFound, and Conflict when nothing of it has failed.
    """
    mails = lookup.submission(session, who.app_id, email_id)
    failed = [mail for mail in mails if mail.state is State.FAILED]
    reason = f"retried by {who.author.name}"
    if not transitions.revive(session, [mail.id for mail in failed], reason):
        raise Conflict(
            f"The e-mail cannot be retried: it is {_said(mails)}.",
            why="Only what has failed can start again.",
            fix=_advice(mails),
            field="email_id",
        )
    _note(session, who, failed, "retried")
    return lookup.submission(session, who.app_id, email_id)


def _said(mails: Sequence[Mail]) -> str:
    return ", ".join(sorted({str(mail.state) for mail in mails}))


def _advice(mails: Sequence[Mail]) -> str:
    states = {mail.state for mail in mails}
    if State.UNKNOWN in states:
        return "Nobody saw the server's reply; decide on it with `mailqueue unknown`."
    if State.SENDING in states:
        return "Ask again in a few seconds: it is on its way to the server."
    if states <= STOPPED:
        return "Submit it again if it is still wanted."
    return "See GET /v1/emails/{id}/explain."


def _note(session: Session, who: Submitter, mails: Sequence[Mail], word: str) -> None:
    """Write the timeline's line of each mail and one entry of the audit log."""
    events = [
        TimelineEvent(
            email_id=mail.id,
            event_id=new_id(),
            app_id=mail.app_id,
            type=word,
            data={"by": who.author.name},
            at=who.now,
        )
        for mail in mails
    ]
    append(session, events)
    _audit(session, who.author, mails, word)


def _audit(session: Session, author: Author, mails: Sequence[Mail], word: str) -> None:
    entry = AuditEntry(
        app_id=mails[0].app_id,
        author=author,
        action=f"email.{word}",
        target_kind="email",
        target_id=mails[0].id,
        after={"mails": [str(mail.id) for mail in mails]},
    )
    record(session, entry)
