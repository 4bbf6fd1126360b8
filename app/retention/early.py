"""A month that one mail keeps from leaving: after a month more, its other mails go without it.

A parked mail would otherwise keep millions of rows for years. The mails that have an end are archived
and deleted, some thousands in a transaction: the files are on disk before it commits. What a crash
leaves is a file without a note, which the next run writes again.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

from psycopg import sql

from app.db.partitions import Month
from app.db.session import Session
from app.lifecycle import retired
from app.retention import archives, files
from app.retention.months import KEPT, describe

GRACE = dt.timedelta(days=31)
ROWS = 20_000

# The rows of these mails, table by table, and the column that names the mail.
_TABLES = {"emails": "id", "email_events": "email_id"}
_OF_MAILS = sql.SQL(
    "SELECT {kept} FROM {table} t WHERE {key} = ANY(%s) AND {key} BETWEEN %s AND %s"
)


def thin_out(session: Session, month: Month, folder: Path, is_over: Callable[[], bool]) -> int:
    """Archive and delete the finished mails of an attached month; return how many."""
    gone = 0
    while not is_over():
        with session.transaction():
            ids = retired.lock_finished(session, month, ROWS)
            if not ids:
                break
            for table in _TABLES:
                _archive(session, month, folder, table, ids)
            gone += retired.delete(session, ids)
    return gone


def _archive(session: Session, month: Month, folder: Path, table: str, ids: Sequence[UUID]) -> None:
    series = f"{table}{month.name.removeprefix(month.parent)}_early"
    part = len(archives.parts(session, series)) + 1
    key = sql.Identifier("t", _TABLES[table])
    query = _OF_MAILS.format(kept=KEPT[table], table=sql.Identifier(table), key=key)
    found = session.execute(query, (list(ids), min(ids), max(ids)))
    name = f"{series}.{part:04d}{files.SUFFIX}"
    written = files.write(folder, name, (row[0] for row in found))
    archives.note(session, series, part, written, last_key=[max(ids)], is_last=False)
    describe(folder, series, month, archives.parts(session, series))
