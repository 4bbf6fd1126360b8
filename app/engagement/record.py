"""Recording hits: the timeline, the counters and what an unsubscribe means. Safe to run twice.

Each hit becomes a raw event under its own id. Counts per mail are unique through marker events
whose id follows from the mail and the kind, so two workers can never count one mail twice.
"""

import datetime as dt
import ipaddress
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.db.session import Session
from app.engagement.bursts import Clicks, time_of
from app.engagement.machines import RULES, Judgement, Sighting, Verdict, judge
from app.lifecycle import events
from app.lifecycle.events import QUOTES, Delta, TimelineEvent
from app.policy import suppression
from app.policy.suppression import Reason, Suppression
from app.queueing.payloads import Hit
from app.redaction import ERASED

_TYPES = {"open": "opened", "click": "clicked", "unsubscribe": "unsubscribed"}
_RAW_KINDS = {"opened": "hits_open", "clicked": "hits_click"}
_MARKER_KINDS = {
    "first_opened": "opened",
    "first_human_opened": "opened_human",
    "first_clicked": "clicked",
    "first_human_clicked": "clicked_human",
    "first_unsubscribed": "unsubscribed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    """Somebody who asked to be left alone, with the first report of it."""

    app_id: UUID
    email_id: UUID
    to_hash: bytes
    to_email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of one message of hits. `dropped` belonged to mails that are deleted."""

    hits: int
    new: int
    dropped: int
    unsubscribed: tuple[Unsubscribed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mail:
    id: UUID
    app_id: UUID
    queue_id: UUID
    account_id: UUID
    campaign_id: UUID | None
    step_id: UUID | None
    to_hash: bytes
    to_email: str
    sent_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    mail: _Mail
    hit: Hit
    at: dt.datetime
    judgement: Judgement


def record(session: Session, hits: Sequence[Hit]) -> Recorded:
    """Store `hits`, count what is new and suppress who unsubscribed.

    Call it inside a transaction, and stop the sequences of `unsubscribed` in the same one.
    """
    mails = _mails(session, {hit.email_id for hit in hits})
    known = [hit for hit in hits if hit.email_id in mails]
    judged = _judged(session, known, mails)
    stored = _stored(session, judged)
    unsubscribed = tuple(_unsubscribed(judged, stored))
    suppression.add_all(session, (_suppression(person) for person in unsubscribed))
    return Recorded(
        hits=len(hits),
        new=sum((one.mail.id, one.hit.event_id) in stored for one in judged),
        dropped=len(hits) - len(known),
        unsubscribed=unsubscribed,
    )


def rehearse(session: Session, hits: Sequence[Hit]) -> None:
    """Store simulated hits as a person's and count what is new; nobody is suppressed for them."""
    mails = _mails(session, {hit.email_id for hit in hits})
    human = Judgement(verdict=Verdict.HUMAN, rule="simulated")
    _stored(
        session,
        [
            _Judged(mail=mails[hit.email_id], hit=hit, at=time_of(hit), judgement=human)
            for hit in hits
            if hit.email_id in mails
        ],
    )


def _stored(session: Session, judged: Sequence[_Judged]) -> set[tuple[UUID, UUID]]:
    """Append the events of hits, count the new ones and return their keys."""
    stored = set(events.append(session, _events(judged)))
    events.count(session, _deltas(judged, stored))
    return stored


_MAILS = """
SELECT id, app_id, queue_id, account_id, campaign_id, step_id, to_hash, to_email,
       coalesce(sent_at, claimed_at)
FROM emails WHERE id = ANY(%(ids)s) AND id BETWEEN %(low)s AND %(high)s"""


def _mails(session: Session, ids: set[UUID]) -> dict[UUID, _Mail]:
    """Return the mails that still exist, by id (primary key; BETWEEN prunes the partitions)."""
    binds = {"ids": list(ids), "low": min(ids), "high": max(ids)}
    return {
        row[0]: _Mail(
            id=row[0],
            app_id=row[1],
            queue_id=row[2],
            account_id=row[3],
            campaign_id=row[4],
            step_id=row[5],
            to_hash=row[6],
            to_email=row[7],
            sent_at=row[8],
        )
        for row in session.execute(_MAILS, binds).fetchall()
    }


def _judged(session: Session, hits: Sequence[Hit], mails: Mapping[UUID, _Mail]) -> list[_Judged]:
    clicks = Clicks(session, [hit for hit in hits if hit.kind == "click"])
    return [_judge(mails[hit.email_id], hit, clicks) for hit in hits]


def _judge(mail: _Mail, hit: Hit, clicks: Clicks) -> _Judged:
    at = time_of(hit)
    sighting = Sighting(
        kind=hit.kind,
        method=hit.method,
        user_agent=hit.user_agent,
        purpose=hit.purpose,
        since_sent=None if mail.sent_at is None else at - mail.sent_at,
        links_in_burst=clicks.links_around(mail.id, at) if hit.kind == "click" else 0,
    )
    return _Judged(mail=mail, hit=hit, at=at, judgement=judge(sighting))


def _events(judged: Iterable[_Judged]) -> list[TimelineEvent]:
    """Return the raw event of each hit and the markers it asks for, each key once."""
    found: dict[tuple[UUID, UUID], TimelineEvent] = {}
    for one in judged:
        for event in (_raw(one), *_markers(one)):
            found.setdefault((event.email_id, event.event_id), event)
    return list(found.values())


def _raw(one: _Judged) -> TimelineEvent:
    return TimelineEvent(
        email_id=one.mail.id,
        event_id=one.hit.event_id,
        app_id=one.mail.app_id,
        type=_TYPES[one.hit.kind],
        data=_data(one),
        at=one.at,
    )


def _markers(one: _Judged) -> list[TimelineEvent]:
    return [
        TimelineEvent(
            email_id=one.mail.id,
            event_id=marker_id(one.mail.id, kind),
            app_id=one.mail.app_id,
            type=kind,
            data={"hit": str(one.hit.event_id)},
            at=one.at,
        )
        for kind in _marker_types(one)
    ]


def _marker_types(one: _Judged) -> list[str]:
    kind = _TYPES[one.hit.kind]
    if kind == "unsubscribed" or one.judgement.verdict is not Verdict.HUMAN:
        return [f"first_{kind}"]
    return [f"first_{kind}", f"first_human_{kind}"]


def marker_id(email_id: UUID, kind: str) -> UUID:
    """Return the one id a marker of this mail and type can have (RFC 9562, 5.5)."""
    return uuid.uuid5(email_id, kind)


def _data(one: _Judged) -> dict[str, Any]:
    """Return what is kept of a hit; of an erased person's, nothing that tells who it was."""
    hit, judgement = one.hit, one.judgement
    data: dict[str, Any] = {
        "verdict": str(judgement.verdict),
        "rule": judgement.rule,
        "rules": RULES,
        "ip": shortened(hit.ip),
        "user_agent": hit.user_agent,
        "method": hit.method,
    }
    optional = {"purpose": hit.purpose or None, "link": hit.link, "url": hit.url}
    data |= {name: value for name, value in optional.items() if value is not None}
    is_erased = one.mail.to_email == ERASED
    return {name: value for name, value in data.items() if not (is_erased and name in QUOTES)}


def shortened(ip: str) -> str:
    """Return the network of an address, /24 or /48: enough for rules, too little for a person."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ""
    prefix = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, prefix), strict=False))


def _deltas(judged: Sequence[_Judged], stored: set[tuple[UUID, UUID]]) -> list[Delta]:
    """Count stored events by kind, with the dimensions of their mails."""
    mails = {one.mail.id: one.mail for one in judged}
    kinds = {
        (event.email_id, event.event_id): _MARKER_KINDS.get(event.type)
        or _RAW_KINDS.get(event.type)
        for event in _events(judged)
    }
    totals = Counter((key[0], kind) for key, kind in kinds.items() if kind and key in stored)
    return [_delta(mails[email_id], kind, n) for (email_id, kind), n in totals.items()]


def _delta(mail: _Mail, kind: str, n: int) -> Delta:
    return Delta(
        app_id=mail.app_id,
        queue_id=mail.queue_id,
        campaign_id=mail.campaign_id,
        step_id=mail.step_id,
        account_id=mail.account_id,
        kind=kind,
        n=n,
    )


def _unsubscribed(
    judged: Iterable[_Judged], stored: set[tuple[UUID, UUID]]
) -> Iterable[Unsubscribed]:
    """Yield who unsubscribed by a hit not seen before: a repeated message must not undo a return."""
    people = {
        (one.mail.app_id, one.mail.to_hash): Unsubscribed(
            app_id=one.mail.app_id,
            email_id=one.mail.id,
            to_hash=one.mail.to_hash,
            to_email=one.mail.to_email,
        )
        for one in judged
        if one.hit.kind == "unsubscribe" and (one.mail.id, one.hit.event_id) in stored
    }
    return people.values()


def _suppression(person: Unsubscribed) -> Suppression:
    return Suppression(
        app_id=person.app_id,
        email_hash=person.to_hash,
        email=person.to_email,
        reason=Reason.UNSUBSCRIBE,
        source=f"email {person.email_id}",
    )
