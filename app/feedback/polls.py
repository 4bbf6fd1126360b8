"""Whose mailbox is to be looked into, how far it was read, and what it said when it could not be.

A lease names who reads a mailbox. Mails and the number up to which it was read are committed
together and only under the lease, so a mail is stored once, whoever reads and whenever it dies.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from app.db.session import Session
from app.feedback import messages
from app.feedback.messages import Arrival

LEASE = dt.timedelta(minutes=3)  # longer than a look takes
PER_HOST = 3  # one provider that hangs leaves connections to the others
FAILING = 3  # mailboxes that failed last time, at once
LONGEST_PAUSE = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One look into one mailbox; `lease` names it. `uid_validity` None = never read."""

    account_id: UUID
    app_id: UUID
    address: str
    lease: dt.datetime
    place: str
    uid_validity: int | None
    last_uid: int
    since: dt.date


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Up to where a folder was read: every mail with a number up to `last_uid`."""

    place: str
    uid_validity: int
    last_uid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxState:
    """How looking into a mailbox goes; `failed_step` None = well. `problem` quotes its server."""

    read_at: dt.datetime | None
    due_at: dt.datetime
    failures: int
    failing_since: dt.datetime | None
    failed_step: str | None
    problem: str | None


_BEGIN = """
INSERT INTO mailbox_states (account_id, app_id)
SELECT account_id, app_id FROM mailboxes m
WHERE NOT EXISTS (SELECT FROM mailbox_states s WHERE s.account_id = m.account_id)
ON CONFLICT DO NOTHING"""
# The one that waits longest, those that work first. Mail that came before the mailbox was named
# here is not read; a day more, because servers have their own idea of a day.
_TAKE = """
WITH busy AS (
  SELECT m.host, s.failures FROM mailbox_states s JOIN mailboxes m USING (account_id)
  WHERE s.lease_until > now())
UPDATE mailbox_states t SET lease_until = now() + %(lease)s
FROM mailboxes m JOIN email_accounts a ON a.id = m.account_id
WHERE m.account_id = t.account_id AND t.account_id = (
  SELECT s.account_id FROM mailbox_states s JOIN mailboxes n USING (account_id)
  WHERE n.status = 'active' AND s.due_at <= now() AND coalesce(s.lease_until <= now(), true)
    AND (SELECT count(*) FROM busy WHERE busy.host = n.host) < %(per_host)s
    AND (s.failures = 0 OR (SELECT count(*) FROM busy WHERE busy.failures > 0) < %(failing)s)
  ORDER BY s.failures > 0, s.due_at LIMIT 1 FOR UPDATE OF s SKIP LOCKED)
RETURNING t.account_id, t.app_id, a.address, t.lease_until AS lease, t.place, t.uid_validity,
  t.last_uid, (coalesce(t.read_at, m.created_at) - interval '1 day')::date AS since"""
_ADVANCE = """
UPDATE mailbox_states
SET place = %(place)s, uid_validity = %(validity)s, last_uid = %(uid)s
WHERE account_id = %(account)s AND lease_until = %(lease)s"""
_DONE = """
UPDATE mailbox_states s SET lease_until = NULL, read_at = now(), failures = 0,
  failing_since = NULL, failed_step = NULL, problem = NULL,
  due_at = CASE WHEN %(more)s THEN now() ELSE now() + m.interval_s * interval '1 s' END
FROM mailboxes m
WHERE m.account_id = s.account_id AND s.account_id = %(account)s AND s.lease_until = %(lease)s"""
# Each failure doubles the pause, up to an hour.
_FAILED = """
UPDATE mailbox_states s SET lease_until = NULL, failures = failures + 1,
  failing_since = coalesce(failing_since, now()), failed_step = %(step)s, problem = %(problem)s,
  due_at = now() + greatest(m.interval_s * interval '1 s',
    least(m.interval_s * interval '1 s' * 2.0 ^ least(failures + 1, 20), %(longest)s))
FROM mailboxes m
WHERE m.account_id = s.account_id AND s.account_id = %(account)s AND s.lease_until = %(lease)s"""
_STATE = """
SELECT read_at, due_at, failures, failing_since, failed_step, problem FROM mailbox_states
WHERE app_id = %s AND account_id = %s"""


def begin(session: Session) -> None:
    """Note the mailboxes nobody ever looked into."""
    session.execute(_BEGIN)


def take(session: Session) -> Turn | None:
    """Return the mailbox whose turn it is, taken for a few minutes; None when nobody's is."""
    binds = {"lease": LEASE, "per_host": PER_HOST, "failing": FAILING}
    return session.cursor(row_factory=class_row(Turn)).execute(_TAKE, binds).fetchone()


def keep(
    session: Session, turn: Turn, cursor: Cursor, arrivals: Sequence[Arrival]
) -> list[UUID] | None:
    """Store what was found together with how far was read; return the new ids, in order.

    None when somebody else has the mailbox by now: nothing is stored.
    """
    binds = {
        "account": turn.account_id,
        "lease": turn.lease,
        "place": cursor.place,
        "validity": cursor.uid_validity,
        "uid": cursor.last_uid,
    }
    with session.transaction():
        if not session.execute(_ADVANCE, binds).rowcount:
            return None
        fresh = [each for each in arrivals if not messages.is_known(session, each)]
        return messages.store(session, fresh)


def done(session: Session, turn: Turn, *, has_more: bool) -> None:
    """Let the mailbox rest until its interval has passed, or not at all while there is more."""
    binds = {"account": turn.account_id, "lease": turn.lease, "more": has_more}
    session.execute(_DONE, binds)


def failed(session: Session, turn: Turn, step: str, problem: str) -> None:
    """Note why the mailbox could not be read; each time it rests longer."""
    binds = {
        "account": turn.account_id,
        "lease": turn.lease,
        "step": step,
        "problem": problem.replace("\0", "")[:1_000],
        "longest": LONGEST_PAUSE,
    }
    session.execute(_FAILED, binds)


def state(session: Session, app_id: UUID, account_id: UUID) -> MailboxState | None:
    """Return how looking into a mailbox goes; None before the first time."""
    cursor = session.cursor(row_factory=class_row(MailboxState))
    return cursor.execute(_STATE, (app_id, account_id)).fetchone()
