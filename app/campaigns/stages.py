"""The rows of campaigns that are released in stages; the rules stand in app/campaigns/staging.

A campaign without a row pays nothing. Of one with a row, mails beyond the first stage are planned
and parked; a stage and its mails move under the lock of the row, so a pass that plans more either
parks them before the stage opens or finds it open.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from psycopg.rows import class_row

from app.campaigns.staging import MOVES, Phase, Stage, size_of
from app.db.session import Session, one
from app.lifecycle import transitions


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """The stage of one campaign: its setting and how far it is. `reason`: why it moved last."""

    campaign_id: UUID
    percent: Decimal
    least: int
    wait_s: int
    phase: Phase
    size: int | None
    admitted: int
    watched_from: dt.datetime | None
    decided_at: dt.datetime | None
    reason: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "phase", Phase(self.phase))

    @property
    def watched_until(self) -> dt.datetime | None:
        """When it is decided whether the rest goes; None before most of the first mails went."""
        if self.watched_from is None:
            return None
        return self.watched_from + dt.timedelta(seconds=self.wait_s)

    @property
    def stage(self) -> Stage:
        """Return what the rules go by."""
        return Stage(
            phase=self.phase,
            size=self.size or 0,
            wait=dt.timedelta(seconds=self.wait_s),
            watched_from=self.watched_from,
        )


_STORE = """
INSERT INTO campaign_stages (campaign_id, app_id, percent, least, wait_s)
VALUES (%s, %s, %s, %s, %s)"""


def store(  # noqa: PLR0913 - the columns of the row
    session: Session, app_id: UUID, campaign_id: UUID, *, percent: Decimal, least: int, wait_s: int
) -> None:
    """Let a new campaign be released in stages."""
    session.execute(_STORE, (campaign_id, app_id, percent, least, wait_s))


_FIND = """
SELECT campaign_id, percent, least, wait_s, phase, size, admitted, watched_from, decided_at, reason
FROM campaign_stages WHERE campaign_id = %s"""


def find(session: Session, campaign_id: UUID) -> StageRow | None:
    """Return the stage of a campaign; None = it is released whole."""
    cursor = session.cursor(row_factory=class_row(StageRow))
    return cursor.execute(_FIND, (campaign_id,)).fetchone()


def locked(session: Session, campaign_id: UUID) -> StageRow | None:
    """Return the stage of a campaign, locked for this transaction; None = released whole."""
    cursor = session.cursor(row_factory=class_row(StageRow))
    return cursor.execute(f"{_FIND} FOR UPDATE", (campaign_id,)).fetchone()


_BEGIN = """
UPDATE campaign_stages SET phase = %(phase)s, size = %(size)s, reason = %(reason)s
WHERE campaign_id = %(campaign)s AND phase = 'planned'"""
# Enrolments are planned in the order of due_at: a sample drawn by chance comes first.
_DRAW = """
UPDATE enrolments SET due_at = due_at - interval '1 ms' WHERE id = ANY(ARRAY(
  SELECT id FROM enrolments WHERE campaign_id = %s ORDER BY random() LIMIT %s))"""


def begin(session: Session, campaign_id: UUID, people: int) -> None:
    """Draw who goes first, as the campaign starts. Where that is everybody, nothing is held."""
    row = locked(session, campaign_id)
    if row is None:
        return
    size = size_of(people, row.percent, row.least)
    is_all = size >= people
    binds = {
        "campaign": campaign_id,
        "phase": Phase.OPEN if is_all else Phase.FIRST,
        "size": size,
        "reason": "the first stage is the whole campaign" if is_all else None,
    }
    if session.execute(_BEGIN, binds).rowcount and not is_all:
        session.execute(_DRAW, (campaign_id, size))


_ROOM = """
SELECT size - admitted FROM campaign_stages
WHERE campaign_id = %s AND phase IN ('first', 'watched', 'braked') FOR UPDATE"""
_ADMIT = "UPDATE campaign_stages SET admitted = admitted + %s WHERE campaign_id = %s"


def admit(session: Session, campaign_id: UUID, email_ids: Sequence[UUID]) -> None:
    """Let as many new first mails go as the stage has room for; park the others.

    Call it in the transaction that planned them, in the order in which they were planned.
    """
    row = one(session, _ROOM, (campaign_id,))
    if row is None:
        return
    going = min(row[0], len(email_ids))
    session.execute(_ADMIT, (going, campaign_id))
    transitions.park_staged(session, email_ids[going:])


_MOVE = """
UPDATE campaign_stages SET phase = %(phase)s, reason = %(reason)s, decided_at = %(now)s,
  watched_from = CASE WHEN %(phase)s = 'watched' THEN %(now)s ELSE watched_from END
WHERE campaign_id = %(campaign)s AND phase = ANY(%(sources)s)"""


def move(session: Session, campaign_id: UUID, target: Phase, reason: str, now: dt.datetime) -> bool:
    """Move a stage along a legal way; an opened one lets its parked mails go. Tell whether it moved."""
    binds = {
        "campaign": campaign_id,
        "phase": target,
        "reason": reason,
        "now": now,
        "sources": [str(phase) for phase, targets in MOVES.items() if target in targets],
    }
    if session.execute(_MOVE, binds).rowcount == 0:
        return False
    if target is Phase.OPEN:
        transitions.unpark_staged(session, campaign_id)
    return True


# Index campaign_stages_moving.
_MOVING = """
SELECT c.app_id, c.id, c.name FROM campaign_stages s JOIN campaigns c ON c.id = s.campaign_id
WHERE s.phase IN ('first', 'watched') AND c.status = 'running' ORDER BY c.id"""


def moving(session: Session) -> list[tuple[UUID, UUID, str]]:
    """Return (app, campaign, name) of the running campaigns whose first stage is out."""
    return [(row[0], row[1], row[2]) for row in session.execute(_MOVING).fetchall()]
