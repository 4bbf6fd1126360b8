"""The books, checked all the time: what changed in the last minutes is balanced again.

Bounded: so many campaigns, batches and apps in one check, drawn anew each minute when more
changed, and none may keep the database busy for longer than a few seconds.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg

from app.db.session import Session, limited
from app.ids import lower_bound
from app.lifecycle import ledger
from app.lifecycle.ledger import Ledger

RECENT = dt.timedelta(minutes=3)
_CAMPAIGNS, _BATCHES, _APPS = 20, 20, 2
_LONGEST = dt.timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imbalance:
    """Books that do not add up; `kind` is campaign, batch or app."""

    kind: str
    id: UUID
    off_by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One check: how many books balance, which do not, how many took too long to tell."""

    balanced: int
    off: tuple[Imbalance, ...]
    untold: int


# The unfolded deltas, and the rollups of the last minutes by the key (app_id, minute, ...).
_CHANGED = """
SELECT DISTINCT app_id, campaign_id FROM email_stat_deltas WHERE at > now() - %(recent)s
UNION
SELECT a.id, s.campaign_id FROM apps a CROSS JOIN LATERAL (
  SELECT DISTINCT campaign_id FROM email_stats
  WHERE app_id = a.id AND minute > now() - %(recent)s) s"""

_BATCHES_MADE = "SELECT id FROM batches WHERE id > %s ORDER BY id DESC LIMIT %s"


def check(session: Session, now: dt.datetime) -> Review:
    """Balance what changed within RECENT; at most 20 campaigns, 20 batches and 2 apps."""
    rows = session.execute(_CHANGED, {"recent": RECENT}).fetchall()
    campaigns = {row[1] for row in rows if row[1] is not None}
    made = session.execute(_BATCHES_MADE, (lower_bound(now - RECENT), _BATCHES)).fetchall()
    books: list[tuple[str, UUID, Callable[[Session, UUID], Ledger]]] = [
        *(("campaign", i, ledger.of_campaign) for i in _drawn(campaigns, _CAMPAIGNS, now)),
        *(("batch", row[0], ledger.of_batch) for row in made),
        *(("app", i, ledger.of_app) for i in _drawn({row[0] for row in rows}, _APPS, now)),
    ]
    off, untold = [], 0
    with limited(session, _LONGEST):
        for kind, book_id, balance in books:
            try:
                off_by = balance(session, book_id).off_by
            except psycopg.errors.QueryCanceled:
                untold += 1
                continue
            if off_by:
                off.append(Imbalance(kind=kind, id=book_id, off_by=off_by))
    return Review(balanced=len(books) - untold - len(off), off=tuple(off), untold=untold)


def _drawn(ids: set[UUID], limit: int, now: dt.datetime) -> list[UUID]:
    """Return at most `limit` of `ids`, others each minute, so that all have their turn."""
    ordered = sorted(ids)
    if len(ordered) <= limit:
        return ordered
    start = int(now.timestamp() // 60) * limit % len(ordered)
    return (ordered + ordered)[start : start + limit]
