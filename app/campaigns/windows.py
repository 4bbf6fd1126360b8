"""When a campaign's mails that missed their sending window may go: the next one, in local time."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from app.db.session import Session
from app.lifecycle import transitions
from app.scheduling.calendar import Window, next_open, zone_named

_WINDOWS = """
SELECT e.id, c.window_days, c.window_start, c.window_end,
       CASE WHEN c.uses_lead_timezone THEN coalesce(l.timezone, c.timezone) ELSE c.timezone END
FROM emails e JOIN campaigns c ON c.id = e.campaign_id LEFT JOIN leads l ON l.id = e.lead_id
WHERE e.id = ANY(%(ids)s) AND e.id BETWEEN %(low)s AND %(high)s"""

# Of a campaign: what is due now and has a window, in the order of the index emails_campaign. A million
# that were unparked at once are looked at in pieces.
_WINDOWED = """
SELECT id FROM emails
WHERE campaign_id = %(campaign)s AND id > %(after)s
  AND due_at <= now() AND window_closes_at IS NOT NULL
ORDER BY id LIMIT %(limit)s"""
_PIECE = 10_000

Move = tuple[UUID, dt.datetime, dt.datetime | None, str]


def reopen(session: Session, email_ids: Sequence[UUID], now: dt.datetime) -> list[Move]:
    """Return (id, due_at, window_closes_at, reason) for e-mails whose window has closed."""
    if not email_ids:
        return []
    binds = {"ids": list(email_ids), "low": min(email_ids), "high": max(email_ids)}
    moves: list[Move] = []
    for email_id, days, start, end, zone in session.execute(_WINDOWS, binds).fetchall():
        window = Window(days=frozenset(days), start=start, end=end)
        slot = next_open(window, zone_named(zone), now)
        moves.append((email_id, slot.opens_at, slot.closes_at, "outside the sending window"))
    return moves


def respect(session: Session, campaign_id: UUID, now: dt.datetime) -> None:
    """Move unparked mails, due now, to their next window: tomorrow's must not go tonight."""
    binds = {"campaign": campaign_id, "after": UUID(int=0), "limit": _PIECE}
    while ids := [row[0] for row in session.execute(_WINDOWED, binds).fetchall()]:
        moves = reopen(session, ids, now)
        transitions.reschedule(session, [move for move in moves if move[1] > now])
        binds["after"] = ids[-1]
