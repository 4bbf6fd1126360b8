"""How the senders of an app stand, judged by the clock, and how a person ends a hold or a brake.

A change of standing is audited, told to webhooks and obeyed within seconds: the queries that ask
for a sender's limits join the row (app/policy/standing). Mail of a held sender waits and is lost
for nobody; what was counted before a release is never held against the sender again.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.analytics import conduct
from app.analytics.reputation import score
from app.audit import AuditEntry, Author, record
from app.config import Settings
from app.db.session import Session, one
from app.errors import Conflict, NotFound
from app.lifecycle import notices, transitions
from app.policy.reputation import (
    VERSION,
    Conduct,
    Level,
    Standing,
    Thresholds,
    judge,
    pace_of,
)

CLOCK = Author(name="clock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """An account, or an app as a whole (`sender_id` is the app's), as it was judged last.

    `figures`: its conduct by window. `per_hour`: what it may send while it is slowed.
    """

    sender_id: UUID
    app_id: UUID
    address: str | None
    level: Level
    rule: str | None
    reason: str | None
    per_hour: int | None
    score: int | None
    figures: dict[str, dict[str, int]]
    changed_at: dt.datetime
    judged_at: dt.datetime
    released_at: dt.datetime | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", Level(self.level))

    @property
    def standing(self) -> Standing:
        """Return what the rules judge from."""
        return Standing(
            level=self.level, rule=self.rule, reason=self.reason, changed_at=self.changed_at
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A sender that stands differently now."""

    sender_id: UUID
    app_id: UUID
    before: Level
    after: Standing
    per_hour: int | None

    def facts(self) -> dict[str, Any]:
        """Return what the audit log and webhooks are told."""
        return {
            "level": str(self.after.level),
            "rule": self.after.rule,
            "reason": self.after.reason,
            "per_hour": self.per_hour,
        }


def thresholds(config: Settings) -> Thresholds:
    """Return the shares at which something happens, as the settings say."""
    return Thresholds(
        least_mails=config.reputation_least_mails,
        complaints_warn=config.complaints_warn,
        complaints_hold=config.complaints_hold,
        bounces_warn=config.bounces_warn,
        bounces_slow=config.bounces_slow,
        blocks_slow=config.blocks_slow,
    )


_COLUMNS = """r.sender_id, r.app_id, a.address, r.level, r.rule, r.reason, r.per_hour, r.score,
       r.figures, r.changed_at, r.judged_at, r.released_at"""
# The app itself first, then its accounts by address (index app_reputation_app_id).
_SENDERS = f"""
SELECT {_COLUMNS} FROM app_reputation r LEFT JOIN email_accounts a ON a.id = r.sender_id
WHERE r.app_id = %(app)s AND (%(sender)s::uuid IS NULL OR r.sender_id = %(sender)s)
ORDER BY r.sender_id <> r.app_id, a.address"""  # noqa: S608 - constants


def senders(session: Session, app_id: UUID) -> list[Sender]:
    """Return the senders of an app that were ever judged, the app itself first."""
    return _senders(session, app_id, None)


_PAGE = f"""
SELECT {_COLUMNS} FROM app_reputation r LEFT JOIN email_accounts a ON a.id = r.sender_id
WHERE r.app_id = %(app)s AND (%(after)s::uuid IS NULL OR r.sender_id < %(after)s)
ORDER BY r.sender_id DESC LIMIT %(limit)s"""  # noqa: S608 - constants


def senders_page(
    session: Session, app_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> list[Sender]:
    """Return the senders of an app that were ever judged, newest first, below the id `after`."""
    cursor = session.cursor(row_factory=class_row(Sender))
    return cursor.execute(_PAGE, {"app": app_id, "after": after, "limit": limit}).fetchall()


def _senders(session: Session, app_id: UUID, sender_id: UUID | None) -> list[Sender]:
    cursor = session.cursor(row_factory=class_row(Sender))
    return cursor.execute(_SENDERS, {"app": app_id, "sender": sender_id}).fetchall()


# Serialises judges and releases of one app; rows that refer to the app are not kept waiting.
_LOCK = "SELECT FROM apps WHERE id = %s FOR NO KEY UPDATE"

_SAVE = """
INSERT INTO app_reputation AS r (sender_id, app_id, level, rule, reason, per_hour, rules, score,
  figures, changed_at, judged_at)
VALUES (%(sender)s, %(app)s, %(level)s, %(rule)s, %(reason)s, %(per_hour)s, %(rules)s, %(score)s,
  %(figures)s, %(changed_at)s, %(now)s)
ON CONFLICT (sender_id) DO UPDATE SET level = excluded.level, rule = excluded.rule,
  reason = excluded.reason, per_hour = excluded.per_hour, rules = excluded.rules,
  score = excluded.score, figures = excluded.figures, changed_at = excluded.changed_at,
  judged_at = excluded.judged_at"""


def judge_app(session: Session, app_id: UUID, limits: Thresholds, now: dt.datetime) -> list[Change]:
    """Judge every sender of an app and let follow what follows; return those that changed.

    Two judges at once share nothing: the second one leaves the app to the first.
    """
    with session.transaction():
        if one(session, f"{_LOCK} SKIP LOCKED", (app_id,)) is None:
            return []
        known = {sender.sender_id: sender for sender in senders(session, app_id)}
        silent = dict.fromkeys(known, conduct.SILENT)
        cases = [
            _Case(
                app_id=app_id,
                sender_id=sender_id,
                known=known.get(sender_id),
                windows=windows,
                limits=limits,
                now=now,
            )
            for sender_id, windows in sorted(
                (silent | conduct.of_app(session, app_id, now)).items()
            )
        ]
        changes = [_judged(session, case) for case in cases]
    return [change for change in changes if change is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A sender before its judge."""

    app_id: UUID
    sender_id: UUID
    known: Sender | None
    windows: Mapping[str, Conduct]
    limits: Thresholds
    now: dt.datetime


def _judged(session: Session, case: _Case) -> Change | None:
    known, limits, now = case.known, case.limits, case.now
    before = known.standing if known else Standing(changed_at=now)
    after = judge(before, case.windows, limits, now)
    per_hour = known.per_hour if known else None
    if after != before:
        busiest = conduct.busiest_hour(session, case.app_id, case.sender_id, now)
        per_hour = pace_of(after.rule, busiest, limits)
    _save(session, case, after, per_hour)
    if after == before:
        return None
    change = Change(
        sender_id=case.sender_id,
        app_id=case.app_id,
        before=before.level,
        after=after,
        per_hour=per_hour,
    )
    _follow(session, change, CLOCK)
    return change


def _save(session: Session, case: _Case, after: Standing, per_hour: int | None) -> None:
    week = case.windows[conduct.WEEK]
    binds = {
        "sender": case.sender_id,
        "app": case.app_id,
        "level": str(after.level),
        "rule": after.rule,
        "reason": after.reason,
        "per_hour": per_hour,
        "rules": VERSION,
        "score": score(week, case.limits, has_feedback=week.complained > 0).score,
        "figures": Jsonb({name: asdict(found) for name, found in case.windows.items()}),
        "changed_at": after.changed_at,
        "now": case.now,
    }
    session.execute(_SAVE, binds)


def _follow(session: Session, change: Change, author: Author) -> None:
    """Audit a change, tell webhooks, let mails that a limit kept back ask again."""
    is_app = change.sender_id == change.app_id
    kind = "app" if is_app else "email_account"
    facts = change.facts()
    entry = AuditEntry(
        app_id=change.app_id,
        author=author,
        action=f"{kind}.{_VERBS[change.after.level]}",
        target_kind=kind,
        target_id=change.sender_id,
        before={"level": str(change.before)},
        after=facts,
    )
    record(session, entry)
    told = facts | {"sender": kind, "sender_id": str(change.sender_id), "by": author.name}
    notices.tell(session, change.app_id, notices.REPUTATION, told)
    transitions.ask_again(session, change.app_id, None if is_app else change.sender_id)


_VERBS = {
    Level.GOOD: "released",
    Level.WARNED: "warned",
    Level.SLOWED: "slowed",
    Level.HELD: "held",
}

_RELEASE = """
UPDATE app_reputation SET level = 'good', rule = NULL, reason = NULL, per_hour = NULL,
  changed_at = %(now)s, released_at = %(now)s
WHERE sender_id = %(sender)s AND app_id = %(app)s"""


def release(
    session: Session, app_id: UUID, sender_id: UUID, author: Author, now: dt.datetime
) -> Sender:
    """Let a held or slowed sender send freely again; raises NotFound, Conflict.

    Its mail goes on within seconds. It is judged anew, by what is counted from now on.
    """
    with session.transaction():
        session.execute(_LOCK, (app_id,))
        known = _sender(session, app_id, sender_id)
        if known.level not in {Level.HELD, Level.SLOWED}:
            raise Conflict(
                f"{known.address or 'The app'} is neither held nor slowed.",
                why=f"It stands {known.level}.",
                fix="Nothing has to be released.",
            )
        session.execute(_RELEASE, {"app": app_id, "sender": sender_id, "now": now})
        change = Change(
            sender_id=sender_id,
            app_id=app_id,
            before=known.level,
            after=Standing(changed_at=now),
            per_hour=None,
        )
        _follow(session, change, author)
        return _sender(session, app_id, sender_id)


def _sender(session: Session, app_id: UUID, sender_id: UUID) -> Sender:
    found = _senders(session, app_id, sender_id)
    if not found:
        raise NotFound(
            f"Nothing is known of the sender {sender_id}.",
            why="A sender is judged once its mail bounced or was complained about.",
            fix="See who was judged: mailqueue reputation show",
            field="sender",
        )
    return found[0]
