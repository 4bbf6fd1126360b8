"""The books: planned = sent + failed + suppressed + cancelled + expired + unknown + waiting.

`planned` is counted where mail is asked for (enrolments, batches, submissions), the states where
mail is handled (emails): two independent counts, so that the balance can fail.
"""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from app.db.session import Session
from app.lifecycle.states import ACCEPTED, WAITING, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The balance of one campaign, batch or app. `sent` counts every accepted mail, bounced ones too."""

    planned: int
    sent: int
    failed: int
    suppressed: int
    cancelled: int
    expired: int
    unknown: int
    waiting: int

    @property
    def off_by(self) -> int:
        """Planned minus all that is accounted for: 0 when the books balance."""
        accounted = self.sent + self.failed + self.suppressed + self.cancelled
        return self.planned - accounted - self.expired - self.unknown - self.waiting


# What retention and erasure took away is counted in retired_emails (app/lifecycle/retired).
_CAMPAIGN_PLANNED = """
SELECT (SELECT coalesce(sum(steps_planned), 0) FROM enrolments WHERE campaign_id = %(campaign)s)
     + (SELECT coalesce(sum(n), 0) FROM retired_emails
        WHERE campaign_id = %(campaign)s AND kind = 'planned')"""
_CAMPAIGN_STATES = """
SELECT status, count(*) FROM emails WHERE campaign_id = %(campaign)s GROUP BY 1
UNION ALL
SELECT kind, n FROM retired_emails WHERE campaign_id = %(campaign)s AND kind <> 'planned'"""

# Addresses accepted but not expanded yet wait, although no e-mail stands for them.
_BATCH_PLANNED = "SELECT accepted FROM batches WHERE id = %(batch)s"
_BATCH_STATES = """
SELECT status, count(*) FROM emails WHERE batch_id = %(batch)s GROUP BY 1
UNION ALL
SELECT 'scheduled', accepted - expanded FROM batches WHERE id = %(batch)s
UNION ALL
SELECT kind, n FROM retired_emails WHERE batch_id = %(batch)s AND kind <> 'planned'"""

_APP_PLANNED = """
SELECT (SELECT coalesce(sum(steps_planned), 0) FROM enrolments WHERE app_id = %(app)s)
     + (SELECT coalesce(sum(recipients), 0) FROM messages WHERE app_id = %(app)s)
     + (SELECT coalesce(sum(n), 0) FROM retired_emails WHERE app_id = %(app)s AND kind = 'planned')"""
_APP_STATES = """
SELECT status, count(*) FROM emails WHERE app_id = %(app)s GROUP BY 1
UNION ALL
SELECT 'scheduled', coalesce(sum(accepted - expanded), 0) FROM batches WHERE app_id = %(app)s
UNION ALL
SELECT kind, n FROM retired_emails WHERE app_id = %(app)s AND kind <> 'planned'"""


def of_campaign(session: Session, campaign_id: UUID) -> Ledger:
    """Return the balance of one campaign, both counts from one snapshot."""
    return _balance(session, _CAMPAIGN_PLANNED, _CAMPAIGN_STATES, {"campaign": campaign_id})


def of_batch(session: Session, batch_id: UUID) -> Ledger:
    """Return the balance of one batch (index emails_batch)."""
    return _balance(session, _BATCH_PLANNED, _BATCH_STATES, {"batch": batch_id})


def of_app(session: Session, app_id: UUID) -> Ledger:
    """Return the balance of one app (reads all its e-mails: an operator's query, not a page's)."""
    return _balance(session, _APP_PLANNED, _APP_STATES, {"app": app_id})


def _balance(session: Session, planned: str, states: str, binds: dict[str, UUID]) -> Ledger:
    with session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        total = session.execute(planned, binds).fetchone()
        by_state: Counter[State] = Counter()
        for status, count in session.execute(states, binds).fetchall():
            by_state[State(status)] += int(count)
    return Ledger(
        planned=int(total[0]) if total else 0,
        sent=sum(by_state[state] for state in ACCEPTED),
        failed=by_state[State.FAILED],
        suppressed=by_state[State.SUPPRESSED],
        cancelled=by_state[State.CANCELLED],
        expired=by_state[State.EXPIRED],
        unknown=by_state[State.UNKNOWN],
        waiting=sum(by_state[state] for state in WAITING),
    )
