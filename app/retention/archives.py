"""The rows of archive files: what was written, how far, and whether a series is complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import class_row

from app.db.session import Session
from app.ids import new_id
from app.retention.files import Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a series. `last_key` is the primary key of its last row."""

    series: str
    part: int
    location: str
    rows: int
    size_bytes: int
    sha256: bytes
    last_key: list[UUID]
    is_last: bool


_COLUMNS = "series, part, location, rows, size_bytes, sha256, last_key, is_last"
_OF_SERIES = f"SELECT {_COLUMNS} FROM archives WHERE series = %s ORDER BY part"  # noqa: S608 - constants
_ALL = f"SELECT {_COLUMNS} FROM archives ORDER BY right(series, 7), series, part"  # noqa: S608 - as above
_NOTE = """
INSERT INTO archives (id, series, part, location, rows, size_bytes, sha256, last_key, is_last)
VALUES (%(id)s, %(series)s, %(part)s, %(location)s, %(rows)s, %(size)s, %(sha256)s, %(key)s,
        %(is_last)s)"""


def parts(session: Session, series: str) -> list[Part]:
    """Return the files of a series that are finished, in order."""
    return session.cursor(row_factory=class_row(Part)).execute(_OF_SERIES, (series,)).fetchall()


def every(session: Session) -> list[Part]:
    """Return all files, by month."""
    return session.cursor(row_factory=class_row(Part)).execute(_ALL).fetchall()


def note(  # noqa: PLR0913 - the columns of the row
    session: Session,
    series: str,
    part: int,
    written: Written,
    *,
    last_key: Sequence[UUID],
    is_last: bool,
) -> None:
    """Record a file that is on disk under its name."""
    binds = {
        "id": new_id(),
        "series": series,
        "part": part,
        "location": written.location,
        "rows": written.rows,
        "size": written.size_bytes,
        "sha256": written.sha256,
        "key": list(last_key),
        "is_last": is_last,
    }
    session.execute(_NOTE, binds)


def forget(session: Session, series: str) -> None:
    """Let a series be written again from its first part: one of its files is not there any more."""
    session.execute("DELETE FROM archives WHERE series = %s", (series,))
