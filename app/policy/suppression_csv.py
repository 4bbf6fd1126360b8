"""Suppressed addresses as a CSV file (RFC 4180): `email`, optionally `reason` and `expires_at`. Pure."""

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.errors import InputInvalid
from app.mail.address import normalise
from app.policy.suppression import Entry, Reason

COLUMNS = ("email", "reason", "source", "expires_at", "created_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: an address to suppress, or why it cannot be (`fault`)."""

    line: int
    email: str
    reason: Reason = Reason.MANUAL
    expires_at: dt.datetime | None = None
    fault: str | None = None


def read(body: bytes) -> Iterator[Row]:
    """Yield the rows of a file; raises InputInvalid naming the line of a structural fault."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputInvalid(
            "The file is not UTF-8.", why=f"Byte {error.start}.", fix="Save it as UTF-8."
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip().casefold() for name in reader.fieldnames or ()]
        if "email" not in names:
            raise InputInvalid(
                "The first line names no column `email`.",
                fix="Name the columns in it.",
                field="email",
            )
        reader.fieldnames = names
        for cells in reader:
            yield _row(reader.line_num, cells)
    except csv.Error as error:
        raise InputInvalid(
            f"Line {reader.line_num} cannot be read.", why=f"{error}.", fix="Check its quotes."
        ) from error


def _row(line: int, cells: dict[str, str | None]) -> Row:
    email = (cells.get("email") or "").strip()
    said = (cells.get("reason") or Reason.MANUAL).strip()
    ends = (cells.get("expires_at") or "").strip()
    try:
        return Row(
            line=line,
            email=normalise(email),
            reason=Reason(said),
            expires_at=_time(ends) if ends else None,
        )
    except InputInvalid as error:
        return Row(line=line, email=email[:254], fault=str(error))
    except ValueError as error:
        return Row(line=line, email=email[:254], fault=f"{error}.")


def _time(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    try:
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(f"{text} is out of range") from error


def write(entries: Iterable[Entry]) -> bytes:
    """Return entries as a file; erased ones have no address and are left out."""
    target = io.StringIO(newline="")
    writer = csv.writer(target)
    writer.writerow(COLUMNS)
    for entry in entries:
        if entry.email is not None:
            ends = entry.expires_at.isoformat() if entry.expires_at else ""
            since = entry.created_at.isoformat()
            writer.writerow((_safe(entry.email), entry.reason, entry.source or "", ends, since))
    return target.getvalue().encode()


def _safe(cell: str) -> str:
    """Return a cell no spreadsheet takes for a formula (an address may begin with = or +)."""
    return f"'{cell}" if cell[:1] in "=+-@" else cell
