"""The send epoch: how a database finds out that it is a copy of itself, or older than it was.

Each release of mail advances a counter in its own transaction, and hosts and Redis remember the
highest they saw (app/policy/mirrors). A restored database is behind what they remember; a clone,
or a dump loaded elsewhere, is not on the server and database it last sent from. Either way its
rows may say "scheduled" of mails that went out long ago: nothing is sent until a person says so.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from app.audit import AuditEntry, Author, record
from app.db.session import Session, one
from app.errors import Conflict
from app.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point in the life of one lineage of databases: `counter` only ever grows."""

    lineage: UUID
    counter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """Where sending stands. `home` is where it was sent from last, `here` where this database is.

    Both are "<system identifier>/<database oid>". `age` is the time since the last advance.
    """

    mark: Mark
    home: str
    here: str
    age: dt.timedelta
    advanced_at: dt.datetime
    quarantined_at: dt.datetime | None
    reason: str | None


_HERE = """
SELECT (SELECT system_identifier FROM pg_control_system()) || '/' || oid
FROM pg_database WHERE datname = current_database()"""

_READ = f"""
SELECT e.lineage, e.counter, e.home, ({_HERE}), now() - e.advanced_at, e.advanced_at,
       e.quarantined_at, e.reason
FROM send_epoch e"""  # noqa: S608 - constants

_BEGIN = f"""
INSERT INTO send_epoch (lineage, home) VALUES (%(lineage)s, ({_HERE})) ON CONFLICT DO NOTHING"""  # noqa: S608


def read(session: Session) -> Epoch | None:
    """Return where sending stands; None in a database that never sent."""
    row = one(session, _READ)
    if row is None:
        return None
    return Epoch(
        mark=Mark(lineage=row[0], counter=row[1]),
        home=row[2],
        here=row[3],
        age=row[4],
        advanced_at=row[5],
        quarantined_at=row[6],
        reason=row[7],
    )


def begin(session: Session) -> None:
    """Let a database that never sent start its own lineage; two at once make one."""
    session.execute(_BEGIN, {"lineage": new_id()})


def advance(session: Session) -> Mark | None:
    """Count one more release; None when sending is quarantined or never began.

    Call it last in the transaction of the release: the row stays locked until the commit.
    """
    row = one(
        session,
        "UPDATE send_epoch SET counter = counter + 1, advanced_at = now() "
        "WHERE quarantined_at IS NULL RETURNING lineage, counter",
    )
    return None if row is None else Mark(lineage=row[0], counter=row[1])


def doubt(epoch: Epoch, remembered: Mapping[str, int]) -> str | None:
    """Return why this database may be a copy or a restored one; None when nothing says so.

    `remembered`: the highest counter of this lineage by who remembers it. Read it before `epoch`,
    or a release in between looks like a restore.
    """
    if epoch.home != epoch.here:
        return (
            f"This database last sent from {epoch.home} and is now {epoch.here}: "
            "it was cloned, or restored elsewhere."
        )
    for witness, counter in remembered.items():
        if counter > epoch.mark.counter:
            return (
                f"This database is {counter - epoch.mark.counter} releases behind what {witness} "
                f"remembers (last one here {epoch.advanced_at:%Y-%m-%d %H:%M:%S} UTC): it was "
                "restored from a backup, or lost commits."
            )
    return None


def quarantine(session: Session, mark: Mark, reason: str) -> bool:
    """Close sending until a person confirms; tell whether this call did it."""
    return (
        session.execute(
            "UPDATE send_epoch SET quarantined_at = now(), reason = %s "
            "WHERE quarantined_at IS NULL AND lineage = %s",
            (reason, mark.lineage),
        ).rowcount
        == 1
    )


_CONFIRM = f"""
UPDATE send_epoch SET lineage = %(lineage)s, counter = 1, home = ({_HERE}), advanced_at = now(),
       quarantined_at = NULL, reason = NULL
WHERE quarantined_at IS NOT NULL"""  # noqa: S608 - constants


def confirm(session: Session, author: Author, note: str) -> None:
    """Let a quarantined database send, as a lineage of its own; audited; raises Conflict.

    What the other lineage remembers stays: its next restored backup is found out, too.
    """
    with session.transaction():
        before = read(session)
        if session.execute(_CONFIRM, {"lineage": new_id()}).rowcount == 0 or before is None:
            raise Conflict(
                "There is nothing to confirm.",
                why="Sending is not quarantined.",
                fix="See: mailqueue epoch show",
            )
        record(
            session,
            AuditEntry(
                app_id=None,
                author=author,
                action="sending.confirmed",
                target_kind="send_epoch",
                target_id=before.mark.lineage,
                before={"reason": before.reason, "counter": before.mark.counter},
                after={"note": note},
            ),
        )


def pending(session: Session) -> dict[str, int]:
    """Return how many e-mails would go after a confirmation, by state (reads every partition)."""
    rows = session.execute(
        "SELECT status, count(*) FROM emails WHERE status IN ('scheduled', 'queued', 'sending') "
        "GROUP BY status"
    ).fetchall()
    return {"scheduled": 0, "queued": 0, "sending": 0} | {row[0]: int(row[1]) for row in rows}
