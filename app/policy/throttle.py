"""Slowing down for a recipient domain that asks for it, and trusting it again bit by bit. Pure.

A throttling reply (421, or 4xx that speaks of rates) halves the pace of that domain for one app;
the pace grows by half every three quiet minutes until the domain is not limited any more. The pace
of a moment follows from what was stored at the last reply, so recovering writes nothing.
"""

import datetime as dt
import re
from dataclasses import dataclass, replace

RULES = 1  # the version of what stands here, stored beside each decision

FIRST_PER_MINUTE = 60
FIRST_CONNECTIONS = 2
LAST_PER_MINUTE = 2_000  # a pace above this is no limit any more: 27 minutes after the first reply
_GROWS_EVERY = dt.timedelta(minutes=3)
# Replies to mails that were under way together are one complaint.
_ONE_COMPLAINT = dt.timedelta(seconds=30)

_THROTTLED = re.compile(
    r"\b4\.7\.(?:28|650|651)\b|\brate\b|\brate[ -]?limit|throttl|slow(?:ing)? down|"
    r"too (?:many|much|fast)|excessive|unusual (?:rate|volume|amount)|"
    r"(?:connection|message|sending|hourly|daily)s? (?:rate|limit|quota)|"
    r"temporar\w* (?:deferred|blocked|rate)|deferred due to|try again later|reputation",
    re.IGNORECASE,
)
# These speak of one recipient or of a first contact: waiting for it is all there is to do.
_OTHERWISE = re.compile(
    r"gr[ae]y-?list|mailbox (?:is )?full|over ?quota|4\.2\.[12]\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a domain may get mail: mails a minute, and connections of each sender at once."""

    per_minute: int
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """What is stored of a slowed domain. An override holds instead, until it ends."""

    per_minute: int | None = None
    connections: int | None = None
    slowed_at: dt.datetime | None = None
    override_per_minute: int | None = None
    override_connections: int | None = None
    override_until: dt.datetime | None = None


def is_throttling(code: int, text: str) -> bool:
    """Tell whether a reply to a recipient asks for a slower pace, not only for a later try."""
    if not 400 <= code < 500 or _OTHERWISE.search(text):
        return False
    return code == 421 or bool(_THROTTLED.search(text))


def pace(pacing: Pacing, now: dt.datetime) -> Pace | None:
    """Return the pace of a domain at `now`; None = not limited."""
    if pacing.override_per_minute is not None and not _is_over(pacing.override_until, now):
        connections = pacing.override_connections or FIRST_CONNECTIONS
        return Pace(per_minute=pacing.override_per_minute, connections=connections)
    if pacing.per_minute is None or pacing.slowed_at is None:
        return None
    steps = max(0, (now - pacing.slowed_at) // _GROWS_EVERY)
    per_minute = int(pacing.per_minute * 1.5 ** min(steps, 100))
    if per_minute > LAST_PER_MINUTE:
        return None
    return Pace(per_minute=max(1, per_minute), connections=(pacing.connections or 1) + steps)


def slowed(pacing: Pacing, now: dt.datetime) -> Pacing:
    """Return what a throttling reply at `now` makes of a domain; an override stays as it is."""
    if pacing.slowed_at is not None and now - pacing.slowed_at < _ONE_COMPLAINT:
        return pacing
    automatic = pace(replace(pacing, override_per_minute=None), now)
    if automatic is None:
        per_minute, connections = FIRST_PER_MINUTE, FIRST_CONNECTIONS
    else:
        per_minute, connections = automatic.per_minute // 2, automatic.connections // 2
    return replace(
        pacing,
        per_minute=max(1, per_minute),
        connections=max(1, connections),
        slowed_at=now,
    )


def _is_over(until: dt.datetime | None, now: dt.datetime) -> bool:
    return until is not None and until <= now
