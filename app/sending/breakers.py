"""The circuit breakers of SMTP servers in PostgreSQL, shared by all workers (rules: app/smtp/breaker).

A server that never failed has no row, so a healthy one costs no statement: its breaker comes with
the route. Every change locks the row, asks the rules, and writes what they say.
"""

import datetime as dt
from collections.abc import Callable
from uuid import UUID

from app.db.session import Session
from app.redaction import without_addresses
from app.smtp import breaker as rules
from app.smtp.breaker import Breaker, Phase

Change = Callable[[Breaker, dt.datetime], Breaker | None]

_BEGIN = """
INSERT INTO smtp_breakers (smtp_config_id, app_id)
SELECT id, app_id FROM smtp_configs WHERE id = %s ON CONFLICT DO NOTHING"""

_LOCK = """
SELECT phase, failures, successes, probe_at, reason, clock_timestamp()
FROM smtp_breakers WHERE smtp_config_id = %s FOR UPDATE"""

_WRITE = """
UPDATE smtp_breakers SET phase = %(phase)s, failures = %(failures)s, successes = %(successes)s,
  probe_at = %(probe_at)s, reason = %(reason)s, changed_at = now()
WHERE smtp_config_id = %(server)s"""


def note_failure(session: Session, server_id: UUID, reason: str) -> Breaker:
    """Note a server failure; return the breaker after it."""
    said = without_addresses(reason)
    with session.transaction():
        session.execute(_BEGIN, (server_id,))
        return _change(session, server_id, lambda b, now: rules.failed(b, said, now))


def note_answer(session: Session, server_id: UUID) -> Breaker:
    """Note that the server answered a mail; return the breaker after it."""
    with session.transaction():
        return _change(session, server_id, rules.answered)


def take_probe(session: Session, server_id: UUID) -> tuple[bool, Breaker]:
    """Take the server's one probe; return whether it is ours, and the breaker as it stands now."""
    with session.transaction():
        before = _locked(session, server_id)
        after = rules.probing(*before)
        if after is None:
            return False, before[0]
        _write(session, server_id, after)
        return True, after


def let_go(session: Session, server_id: UUID) -> Breaker:
    """Give back a probe that never reached the server; return the breaker after it."""
    with session.transaction():
        return _change(session, server_id, rules.let_go)


def _change(session: Session, server_id: UUID, change: Change) -> Breaker:
    before, now = _locked(session, server_id)
    after = change(before, now)
    if after is None or after == before:
        return before
    _write(session, server_id, after)
    return after


def _locked(session: Session, server_id: UUID) -> tuple[Breaker, dt.datetime]:
    row = session.execute(_LOCK, (server_id,)).fetchone()
    if row is None:  # it never failed, or it was deleted with its server
        return rules.CLOSED, dt.datetime.max.replace(tzinfo=dt.UTC)
    found = Breaker(
        phase=Phase(row[0]), failures=row[1], successes=row[2], probe_at=row[3], reason=row[4]
    )
    return found, row[5]


def _write(session: Session, server_id: UUID, breaker: Breaker) -> None:
    session.execute(
        _WRITE,
        {
            "server": server_id,
            "phase": str(breaker.phase),
            "failures": breaker.failures,
            "successes": breaker.successes,
            "probe_at": breaker.probe_at,
            "reason": breaker.reason,
        },
    )
