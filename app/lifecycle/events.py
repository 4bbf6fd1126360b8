"""The timeline of an e-mail and the counters it feeds: append only, in the transaction of the fact.

Facts the row itself carries (queued, claimed, sent times) are not stored again as events. Counters
are appended as deltas; the clock folds them (app/analytics/rollups), so no counter is a hot row.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from app.db.session import Session
from app.lifecycle.notices import TOLD, note

# Fields of an event's data that may quote an address or tell who somebody is.
QUOTES = (
    "text",
    "dialogue",
    "url",
    "ip",
    "user_agent",
    "reason",
    "from",
    "subject",
    "address",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One line of a timeline. The same (email_id, event_id) is stored once, however often sent."""

    email_id: UUID
    event_id: UUID
    app_id: UUID
    type: str
    data: Mapping[str, Any]
    at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """`n` more of `kind` along the dimensions every report groups by."""

    app_id: UUID
    queue_id: UUID | None
    campaign_id: UUID | None
    step_id: UUID | None
    account_id: UUID | None
    kind: str
    n: int = 1


_TOLD = f"CASE WHEN type = ANY('{{{','.join(TOLD)}}}') THEN type END"
_APPEND = f"""
WITH u AS (
  INSERT INTO email_events (email_id, id, app_id, type, data, at)
  SELECT email_id, id, app_id, type, data::jsonb, at
  FROM unnest(%(emails)b::uuid[], %(ids)b::uuid[], %(apps)b::uuid[], %(types)b::text[],
              %(data)b::text[], %(ats)b::timestamptz[]) AS r(email_id, id, app_id, type, data, at)
  ON CONFLICT DO NOTHING RETURNING email_id, id, app_id, type, data),
n AS (
  {note("u", _TOLD, data="data", email_id="email_id")})
SELECT email_id, id FROM u"""  # noqa: S608 - constants


def append(session: Session, events: Sequence[TimelineEvent]) -> list[tuple[UUID, UUID]]:
    """Store `events` in bulk; return (email_id, event_id) of those that were not there before."""
    if not events:
        return []
    ordered = sorted(events, key=lambda event: (event.email_id, event.event_id))
    rows = session.execute(
        _APPEND,
        {
            "emails": [event.email_id for event in ordered],
            "ids": [event.event_id for event in ordered],
            "apps": [event.app_id for event in ordered],
            "types": [event.type for event in ordered],
            "data": [orjson.dumps(event.data).decode() for event in ordered],
            "ats": [event.at for event in ordered],
        },
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


_COUNT = """
INSERT INTO email_stat_deltas (app_id, queue_id, campaign_id, step_id, account_id, kind, n)
SELECT * FROM unnest(%(apps)b::uuid[], %(queues)b::uuid[], %(campaigns)b::uuid[],
                     %(steps)b::uuid[], %(accounts)b::uuid[], %(kinds)b::text[], %(ns)b::int[])"""


def count(session: Session, deltas: Iterable[Delta]) -> None:
    """Append `deltas`, equal dimensions added up first."""
    totals: Counter[tuple[UUID | str | None, ...]] = Counter()
    for d in deltas:
        totals[d.app_id, d.queue_id, d.campaign_id, d.step_id, d.account_id, d.kind] += d.n
    if not totals:
        return
    apps, queues, campaigns, steps, accounts, kinds = zip(*totals, strict=True)
    session.execute(
        _COUNT,
        {
            "apps": list(apps),
            "queues": list(queues),
            "campaigns": list(campaigns),
            "steps": list(steps),
            "accounts": list(accounts),
            "kinds": list(kinds),
            "ns": list(totals.values()),
        },
    )


def timeline(session: Session, email_id: UUID) -> list[TimelineEvent]:
    """Return the stored events of one e-mail, oldest first (primary key, one partition)."""
    rows = session.execute(
        "SELECT email_id, id, app_id, type, data, at FROM email_events WHERE email_id = %s "
        "ORDER BY at, id",
        (email_id,),
    ).fetchall()
    return [
        TimelineEvent(email_id=r[0], event_id=r[1], app_id=r[2], type=r[3], data=r[4], at=r[5])
        for r in rows
    ]
