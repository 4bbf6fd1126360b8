"""What a delivery report does: a mail bounced, was delayed, or arrived.

Hard suppresses at once, soft after n mails in d days (`apps.settings["soft_bounces"]`). A block
suppresses nobody: it slows the recipient's domain, and where it is about the sender it counts
against its account (app/policy/reputation).
"""

import datetime as dt
from typing import assert_never

from app.db.session import Session
from app.feedback import mails
from app.feedback.findings import Effect, Finding
from app.feedback.mails import Line, Mail
from app.lifecycle import evidence
from app.lifecycle.states import State
from app.policy import pacing
from app.policy.suppression import Reason

SOFT_LIMIT, SOFT_DAYS = 5, 14


def record(session: Session, mail: Mail, finding: Finding, at: dt.datetime) -> Reason | None:
    """Record a report about a mail; return why its recipient is to be left alone, if so."""
    match finding.effect:
        case Effect.DELIVERED:
            _move(session, mail, finding, at, State.DELIVERED)
            return None
        case Effect.DELAYED:
            mails.note(session, mail, Line(type="delayed", at=at, data=finding.data()))
            return None
        case _:
            is_new = _move(session, mail, finding, at, State.BOUNCED)
            if is_new and finding.effect is Effect.BLOCK and finding.verdict.sender_sign:
                mails.count(session, mail, "blocked")
            return _consequence(session, mail, finding, at)


def _move(session: Session, mail: Mail, finding: Finding, at: dt.datetime, target: State) -> bool:
    evidence.learn(session, [mail.id], target)
    return mails.note(session, mail, Line(type=str(target), at=at, data=finding.data()))


def _consequence(session: Session, mail: Mail, finding: Finding, at: dt.datetime) -> Reason | None:
    match finding.effect:
        case Effect.HARD_BOUNCE:
            return mails.suppress(session, mail, Reason.HARD_BOUNCE)
        case Effect.SOFT_BOUNCE:
            is_too_often = _count_soft(session, mail, at)
            return mails.suppress(session, mail, Reason.SOFT_BOUNCES) if is_too_often else None
        case Effect.BLOCK:
            said = f"{finding.verdict.status} {finding.verdict.explanation}".strip()
            pacing.slow(session, mail.app_id, {mail.to_domain: said}, at)
            return None
        case (
            Effect.COMPLAINT | Effect.DELIVERED | Effect.DELAYED | Effect.UNSUBSCRIBE | Effect.REPLY
            | Effect.ABSENCE | Effect.AUTO_REPLY | Effect.NOTHING
        ):  # fmt: skip
            raise AssertionError(finding.effect)
        case _ as never:
            assert_never(never)


# Two bounces of one address at once are counted one after the other, or both would see one less.
_LOCK = (
    "SELECT pg_advisory_xact_lock(hashtextextended(%(app)s::text || encode(%(hash)s, 'hex'), 0))"
)
_NOTE = """
INSERT INTO soft_bounces (app_id, email_hash, email_id, at)
VALUES (%(app)s, %(hash)s, %(email)s, %(at)s) ON CONFLICT DO NOTHING"""
_FORGET = """
DELETE FROM soft_bounces
WHERE app_id = %(app)s AND email_hash = %(hash)s AND at <= %(at)s - %(days)s * interval '1 day'"""
_COUNT = "SELECT count(*) FROM soft_bounces WHERE app_id = %(app)s AND email_hash = %(hash)s"
_SETTINGS = "SELECT settings -> 'soft_bounces' FROM apps WHERE id = %s"


def _count_soft(session: Session, mail: Mail, at: dt.datetime) -> bool:
    """Count a mail that bounced softly, once; tell whether the address did so too often."""
    limit, days = soft_rule(session, mail)
    binds = {"app": mail.app_id, "hash": mail.to_hash, "email": mail.id, "at": at, "days": days}
    for statement in (_LOCK, _NOTE, _FORGET):
        session.execute(statement, binds)
    found = session.execute(_COUNT, binds).fetchone()
    return found is not None and found[0] >= limit


def soft_rule(session: Session, mail: Mail) -> tuple[int, int]:
    """Return (mails, days) after which an address of this app is suppressed; 5 in 14 by default."""
    row = session.execute(_SETTINGS, (mail.app_id,)).fetchone()
    given = row[0] if row and isinstance(row[0], dict) else {}
    limit, days = given.get("limit"), given.get("days")
    return (
        limit if isinstance(limit, int) and limit > 0 else SOFT_LIMIT,
        days if isinstance(days, int) and days > 0 else SOFT_DAYS,
    )
