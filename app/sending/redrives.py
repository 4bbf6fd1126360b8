"""Dead letters and the rows behind them: what a retry will really do, and doing it.

A retry never trusts the message: its mails are claimed like any other, so what was sent meanwhile
is skipped. A mail that failed for want of attempts starts again from its row.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from app.audit import AuditEntry, Author
from app.audit import record as audit
from app.db.session import Session
from app.lifecycle import transitions
from app.lifecycle.states import ACCEPTED, WAITING, State
from app.queueing import dead_letters
from app.queueing.dead_letters import DeadLetter, as_uuid
from app.sending.letters import EXHAUSTED, POISONED

_OF_ONE_MAIL = frozenset({EXHAUSTED, POISONED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a retry of dead letters does to the mails they carry.

    `sent`, `unknown` and `stopped` are skipped, `waiting` go on by themselves or with the message,
    `revived` failed for want of attempts and start again.
    """

    sent: int = 0
    unknown: int = 0
    stopped: int = 0
    waiting: int = 0
    revived: int = 0

    @property
    def skipped(self) -> int:
        """How many mails a retry does not touch."""
        return self.sent + self.unknown + self.stopped


def mails_of(letter: DeadLetter) -> list[UUID]:
    """Return the ids of the mails a dead letter carries; none for messages of other stages."""
    try:
        payload = orjson.loads(letter.body)["kwargs"]["payload"]
        named = [*payload.get("email_ids", ()), *(m["email_id"] for m in payload.get("mails", ()))]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return []
    return [found for found in map(as_uuid, named) if found is not None]


_STATES = """
SELECT id, status FROM emails
WHERE id = ANY(%(ids)s) AND id BETWEEN %(low)s AND %(high)s"""


def outlook(session: Session, letters: Sequence[DeadLetter]) -> Outlook:
    """Return what a retry of these would do now."""
    revivable = set(_revivable(letters))
    ids = {email_id for letter in letters for email_id in mails_of(letter)}
    found: Counter[str] = Counter()
    for email_id, state in _states(session, ids).items():
        found[_fate(state, is_revivable=email_id in revivable)] += 1
    return Outlook(**found)


def retry(session: Session, letters: Sequence[DeadLetter], by: Author) -> int:
    """Revive the mails that failed for want of attempts and mark the letters as retried, audited.

    Call it after the messages have been published again; returns how many mails were revived.
    """
    with session.transaction():
        marked = set(dead_letters.mark_retried(session, [one.id for one in letters], by.name))
        open_ones = [one for one in letters if one.id in marked]
        revived = transitions.revive(
            session, _revivable(open_ones), f"retried from the dead letters by {by.name}"
        )
        _audit(session, open_ones, by, {"action": "dead_letter.retried", "revived": revived})
    return revived


def discard(session: Session, letters: Sequence[DeadLetter], by: Author, reason: str) -> int:
    """Mark letters as discarded for `reason`, audited; returns how many were open."""
    with session.transaction():
        ids = [one.id for one in letters]
        marked = set(dead_letters.mark_discarded(session, ids, by.name, reason))
        open_ones = [one for one in letters if one.id in marked]
        _audit(session, open_ones, by, {"action": "dead_letter.discarded", "reason": reason})
    return len(marked)


def _revivable(letters: Sequence[DeadLetter]) -> list[UUID]:
    of_one_mail = (one for one in letters if one.error_class in _OF_ONE_MAIL)
    return [email_id for letter in of_one_mail for email_id in mails_of(letter)]


def _states(session: Session, ids: set[UUID]) -> dict[UUID, State]:
    if not ids:
        return {}
    binds = {"ids": list(ids), "low": min(ids), "high": max(ids)}
    return {row[0]: State(row[1]) for row in session.execute(_STATES, binds).fetchall()}


def _fate(state: State, *, is_revivable: bool) -> str:
    if state in ACCEPTED:
        return "sent"
    if state is State.UNKNOWN:
        return "unknown"
    if state in WAITING:
        return "waiting"
    return "revived" if is_revivable and state is State.FAILED else "stopped"


def _audit(
    session: Session, letters: Sequence[DeadLetter], by: Author, facts: Mapping[str, object]
) -> None:
    """Write one entry for each app: its own log must tell what happened to its letters."""
    by_app: dict[UUID | None, list[str]] = {}
    for letter in letters:
        by_app.setdefault(letter.app_id, []).append(str(letter.id))
    for app_id, ids in by_app.items():
        entry = AuditEntry(
            app_id=app_id,
            author=by,
            action=str(facts["action"]),
            target_kind="dead_letter",
            target_id=ids[0] if len(ids) == 1 else f"{len(ids)} dead letters",
            after={**facts, "ids": ids},
        )
        audit(session, entry)
