"""Import leads from a CSV file by COPY: all or nothing, and a second time adds nothing.

The rows go into a temporary table first; there the database marks the suppressed and the double
ones, takes the rest, and the marked ones become the rejects file (line, email, reason).
"""

import csv
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, LiteralString
from uuid import UUID

import orjson

from app.campaigns import leads_csv
from app.campaigns.leads_csv import LeadRow
from app.clock import monotonic_s, utc_now
from app.db.session import Session
from app.errors import InputInvalid
from app.ids import new_ids
from app.privacy import address_hash

# Rows between two reports of progress, and rows that share one call of the id source.
_BLOCK = 2_000

MOST_REJECTS = 1_000

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadFile:
    """What is imported: the file, where its rejects go (default: beside it), and for whom."""

    path: Path
    pepper: str
    rejects_path: Path | None = None
    company_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportResult:
    """What became of the rows; `rejects_path` is None when every row was added."""

    rows: int
    added: int
    duplicates: int
    invalid: int
    suppressed: int
    seconds: float
    rejects_path: Path | None


def import_csv(
    session: Session, app_id: UUID, file: LeadFile, progress: Progress | None = None
) -> ImportResult:
    """Import the leads of one file; `progress(rows, bytes)` is called as it goes.

    Raises InputInvalid naming the line when the file cannot be read; nothing is imported then.
    """
    began = monotonic_s()
    with _opened(file.path) as source, session.transaction():
        session.execute(_LOCK, (str(app_id),))
        session.execute(_TEMPORARY)
        rows = _copy_file(session, source, file.pepper, progress or _silent)
        added, counts = _take(session, app_id, file.company_id)
        rejects_path = _write_rejects(session, file) if counts else None
    return ImportResult(
        rows=rows,
        added=added,
        duplicates=rows - added - counts.get("invalid", 0) - counts.get("suppressed", 0),
        invalid=counts.get("invalid", 0),
        suppressed=counts.get("suppressed", 0),
        seconds=monotonic_s() - began,
        rejects_path=rejects_path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row that was not added, and why."""

    line: int
    email: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsResult:
    """What became of rows that came without a file; `rejects` has the first MOST_REJECTS."""

    rows: int
    added: int
    rejected: int
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """For whom rows are imported."""

    app_id: UUID
    pepper: str
    company_id: UUID | None = None


def import_rows(session: Session, audience: Audience, parsed: Iterator[LeadRow]) -> RowsResult:
    """Import leads that are read already; all of them that can be, or none. Doing it twice adds nothing.

    Raises what reading `parsed` raises; nothing is imported then.
    """
    with session.transaction():
        session.execute(_LOCK, (str(audience.app_id),))
        session.execute(_TEMPORARY)
        rows = _copy(session, parsed, audience.pepper, lambda _rows: None)
        added, counts = _take(session, audience.app_id, audience.company_id)
        found = session.execute(_REJECTS + " LIMIT %s", (MOST_REJECTS,)).fetchall()
        session.execute("DROP TABLE lead_rows")
    return RowsResult(
        rows=rows,
        added=added,
        rejected=sum(counts.values()),
        rejects=tuple(Reject(line=row[0], email=row[1] or "", reason=row[2]) for row in found),
    )


# Imports of one app wait for each other: a row is never counted as added by two.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('leads ' || %s))"

_TEMPORARY = """
CREATE TEMPORARY TABLE lead_rows (line bigint, id uuid, email text, email_hash bytea,
  timezone text, variables jsonb, verdict text, reason text) ON COMMIT DROP"""

_COPY = """
COPY lead_rows (line, id, email, email_hash, timezone, variables, verdict, reason) FROM STDIN"""


def _copy_file(session: Session, source: BinaryIO, pepper: str, progress: Progress) -> int:
    size = 0

    def counted() -> Iterator[bytes]:  # a pipe cannot tell how far it is read
        nonlocal size
        for line in source:
            size += len(line)
            yield line

    def report(rows: int) -> None:
        progress(rows, size)

    return _copy(session, leads_csv.read(counted()), pepper, report)


def _copy(
    session: Session, parsed: Iterator[LeadRow], pepper: str, report: Callable[[int], None]
) -> int:
    rows = 0
    with session.cursor() as cursor, cursor.copy(_COPY) as copy:
        while block := list(itertools.islice(parsed, _BLOCK)):
            ids = new_ids(len(block), utc_now())
            for lead, lead_id in zip(block, ids, strict=True):
                copy.write_row(_columns(lead, lead_id, pepper))
            rows += len(block)
            report(rows)
    return rows


def _columns(lead: LeadRow, lead_id: str, pepper: str) -> tuple[object, ...]:
    if lead.reason is not None:
        return (lead.line, None, lead.email, None, None, None, "invalid", lead.reason)
    digest = address_hash(lead.email, pepper)
    variables = orjson.dumps(lead.variables).decode()
    return (lead.line, lead_id, lead.email, digest, lead.timezone, variables, None, None)


# One mark per rejected row, in this order: suppressed, again in the file, already a lead.
_MARKS = (
    """
UPDATE lead_rows r SET verdict = 'suppressed', reason = 'suppressed: ' || x.reason
FROM suppression_list x
WHERE x.email_hash = r.email_hash AND (x.app_id = %(app)s OR x.app_id IS NULL)
  AND (x.expires_at IS NULL OR x.expires_at > now())
  AND r.verdict IS NULL""",
    """
UPDATE lead_rows r SET verdict = 'duplicate', reason = 'duplicate of line ' || d.first_line
FROM (SELECT email_hash, min(line) AS first_line FROM lead_rows WHERE verdict IS NULL
      GROUP BY email_hash HAVING count(*) > 1) d
WHERE d.email_hash = r.email_hash AND r.line > d.first_line AND r.verdict IS NULL""",
    """
UPDATE lead_rows r SET verdict = 'duplicate', reason = 'duplicate: already a lead'
FROM leads l
WHERE l.app_id = %(app)s AND l.email_hash = r.email_hash AND r.verdict IS NULL""",
)

_INSERT = """
INSERT INTO leads (id, app_id, company_id, email, email_hash, timezone, variables)
SELECT id, %(app)s, %(company)s, email, email_hash, timezone, variables
FROM lead_rows WHERE verdict IS NULL ORDER BY line
ON CONFLICT (app_id, email) DO NOTHING"""


def _take(session: Session, app_id: UUID, company_id: UUID | None) -> tuple[int, dict[str, int]]:
    """Insert what may be a lead; return how many, and how many rows have which verdict."""
    session.execute("ANALYZE lead_rows")
    binds = {"app": app_id, "company": company_id}
    for mark in _MARKS:
        session.execute(mark, binds)
    added = session.execute(_INSERT, binds).rowcount
    counts = session.execute(
        "SELECT verdict, count(*) FROM lead_rows WHERE verdict IS NOT NULL GROUP BY verdict"
    )
    return added, {row[0]: row[1] for row in counts.fetchall()}


def _write_rejects(session: Session, file: LeadFile) -> Path:
    path = file.rejects_path or file.path.with_name(f"{file.path.stem}.rejects.csv")
    try:
        return _written(session, path)
    except OSError as error:
        raise InputInvalid(
            f"The rejects file {path} cannot be written.",
            why=f"{error.strerror}. Nothing was imported.",
            fix="Say where it may go: --rejects PATH.",
            field="rejects",
        ) from error


_REJECTS: LiteralString = (
    "SELECT line, email, reason FROM lead_rows WHERE verdict IS NOT NULL ORDER BY line, reason"
)


def _written(session: Session, path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as target, session.cursor("rejects") as rows:
        writer = csv.writer(target)
        writer.writerow(("line", "email", "reason"))
        rows.itersize = _BLOCK
        writer.writerows(rows.execute(_REJECTS))
    return path


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputInvalid(
            f"{path} cannot be read.", why=f"{error.strerror}.", fix="Check the path.", field="path"
        ) from error


def _silent(_rows: int, _size: int) -> None:
    """Report nothing."""
