"""A month leaves the database: detached, archived, dropped. Each step is safe to die behind.

    counted      its mails by state are in the books as retired ...
    detached     ... in the transaction that takes it out of its table: nobody can write to it now
    settled      counted again, exactly; a mail without an end, and the month goes back
    archived     in parts, each on disk under its name before it is noted
    dropped      PostgreSQL refuses as long as the last part is not noted

A run finds by the tables and notes there are how far the one before came.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.errors import LockNotAvailable

from app.db import partitions
from app.db.partitions import Month
from app.db.session import Session
from app.errors import NotFound
from app.lifecycle import retired
from app.lifecycle.events import QUOTES
from app.retention import archives, files
from app.retention.archives import Part

PART_ROWS = 200_000
_FETCH = 5_000

# What an archive keeps of a row. A person is their keyed hash; what may quote an address stays out,
# and any address left in free text is masked as the file is written. Erasure has nothing to find.
_LEFT_OUT = ["to_email", "to_name", "variables", "lease_until", "claimed_by", "fence", "starts"]
_KEYS = {"emails": ("id",), "email_events": ("email_id", "id"), "audit_logs": ("id",)}
KEPT: dict[str, sql.Composable] = {
    "emails": sql.SQL("to_jsonb(t) - {}").format(_LEFT_OUT),
    "email_events": sql.SQL("to_jsonb(t) || jsonb_build_object('data', t.data - {})").format(
        list(QUOTES)
    ),
    "audit_logs": sql.SQL("to_jsonb(t)"),
}
_ROWS = sql.SQL(
    "SELECT ARRAY[{keys}], {kept} FROM {table} t WHERE ({keys}) > ({after}) ORDER BY {keys} LIMIT {n}"
)


class Fate(StrEnum):
    """What became of a month, or would."""

    DROPPED = "dropped"
    WAITS = "waits"
    THINNED = "thinned out"
    BUSY = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """The end of one try: `rows` and `files` of its archive; `why` it waits."""

    month: Month
    fate: Fate
    why: str
    rows: int = 0
    files: int = 0


def retire(session: Session, month: Month, folder: Path) -> Departure:
    """Take a month as far as it goes; raises DependencyUnavailable when its file cannot be written."""
    try:
        if why := _take_out(session, month):
            return Departure(month=month, fate=Fate.WAITS, why=why)
        parts = archive(session, month, folder)
        if not all(map(_is_there, parts)):
            archives.forget(session, month.name)
            why = "a file of its archive is gone or damaged; the next run writes it again"
            return Departure(month=month, fate=Fate.WAITS, why=why)
        describe(folder, month.name, month, parts)
        partitions.drop(session, month)
    except LockNotAvailable:
        why = "the table was in use for longer than 0.2 s; the next run tries again"
        return Departure(month=month, fate=Fate.BUSY, why=why)
    rows = sum(part.rows for part in parts)
    why = "archived and dropped"
    return Departure(month=month, fate=Fate.DROPPED, why=why, rows=rows, files=len(parts))


def _take_out(session: Session, month: Month) -> str | None:
    """Detach a month; return why it has to stay."""
    if month.parent != "emails":
        if not month.is_detached:
            partitions.detach(session, month)
        return None
    if not month.is_detached:
        counts = retired.count(session, month)
        if waiting := retired.waiting(counts):
            return unfinished(waiting)
        with session.transaction():
            retired.add(session, counts, month.name)
            partitions.detach(session, month)
    return _settle(session, month)


def _settle(session: Session, month: Month) -> str | None:
    """Correct the books by what the month held when it was detached; return why it went back."""
    counts = retired.count_detached(session, month)
    waiting = retired.waiting(counts)
    with session.transaction():
        was_counted = retired.take_back(session, month.name)
        if waiting:
            partitions.attach(session, month)
        elif was_counted:
            retired.add(session, counts)
    return unfinished(waiting) if waiting else None


def unfinished(waiting: int) -> str:
    """Return why a month stays."""
    return f"{waiting:,} of its mails have no end yet"


def archive(session: Session, month: Month, folder: Path) -> list[Part]:
    """Write the parts of a detached month that are missing; return all of them."""
    while not (parts := archives.parts(session, month.name)) or not parts[-1].is_last:
        after = parts[-1].last_key if parts else [UUID(int=0)] * len(_KEYS[month.parent])
        reading = _Reading(session, month, after)
        name = f"{month.name}.{len(parts) + 1:04d}{files.SUFFIX}"
        written = files.write(folder, name, reading.rows())
        archives.note(
            session,
            month.name,
            len(parts) + 1,
            written,
            last_key=reading.key,
            is_last=written.rows < PART_ROWS,
        )
    return parts


def _is_there(part: Part) -> bool:
    """Tell whether a file can be seen from here, byte for byte as it was written."""
    try:
        return files.checksum(Path(part.location)) == bytes(part.sha256)
    except NotFound:
        return False


class _Reading:
    """The rows of one part, read in short statements; `key` is that of the last one."""

    def __init__(self, session: Session, month: Month, after: list[UUID]) -> None:
        self._session = session
        self._month = month
        self.key = after

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield up to PART_ROWS rows behind the key."""
        for _ in range(PART_ROWS // _FETCH):
            found = self._session.execute(self._query()).fetchall()
            for self.key, row in found:
                yield row
            if len(found) < _FETCH:
                return

    def _query(self) -> sql.Composed:
        parent = self._month.parent
        return _ROWS.format(
            keys=sql.SQL(", ").join(sql.Identifier("t", key) for key in _KEYS[parent]),
            kept=KEPT[parent],
            table=sql.Identifier(self._month.name),
            after=sql.SQL(", ").join(sql.Literal(key) for key in self.key),
            n=sql.Literal(_FETCH),
        )


def describe(folder: Path, series: str, month: Month, parts: list[Part]) -> None:
    """Write the manifest of a series beside its files."""
    facts = {
        "table": series.partition("_2")[0],
        "from": month.starts,
        "to": month.ends,
        "rows": sum(part.rows for part in parts),
        "people": "to_hash is the keyed hash of an address; no address is in these files",
        "files": [
            {
                "file": Path(part.location).name,
                "rows": part.rows,
                "size_bytes": part.size_bytes,
                "sha256": bytes(part.sha256).hex(),
            }
            for part in parts
        ],
    }
    files.write_manifest(folder, series, facts)
