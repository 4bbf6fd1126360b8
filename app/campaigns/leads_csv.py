"""Leads in a CSV file (RFC 4180): UTF-8, a header with `email`, one lead a row. Pure.

A fault of the file's structure ends the import and names its line; a fault of one lead rejects its
row. Columns become variables as they are called, `user.address.city` nested; empty cells none.
"""

import csv
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from app.errors import InputInvalid
from app.mail.address import normalise
from app.scheduling.calendar import zone_named

MAX_COLUMNS = 500
MAX_NAME = 100

# Other spellings of the two columns that mean something to us.
_EMAIL = {"email", "e-mail", "email_address"}
_TIMEZONE = {"timezone", "time_zone"}


class LeadRow(NamedTuple):
    """One row: `reason` says why it is rejected, and `email` is then as the file has it."""

    line: int
    email: str
    timezone: str | None
    variables: dict[str, Any]
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Which column is what. `nested` holds the dotted names, split."""

    width: int
    email: int
    timezone: int | None
    plain: tuple[tuple[int, str], ...]
    nested: tuple[tuple[int, tuple[str, ...]], ...]


def read(lines: Iterable[bytes]) -> Iterator[LeadRow]:
    """Yield the leads of a file; raises InputInvalid naming the line of a structural fault."""
    reader = csv.reader(_decoded(lines), strict=True)
    line = 1
    try:
        header = _header(next(reader, []))
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) == header.width:
                yield _row(line, cells, header)
            elif cells:
                _refuse_width(line, len(cells), header.width)
            line = reader.line_num + 1
    except csv.Error as error:
        _refuse(line, f"The row that begins here cannot be read: {error}.", "Check its quotes.")


def _row(line: int, cells: list[str], header: Header) -> LeadRow:
    try:
        email = normalise(cells[header.email])
        timezone = cells[header.timezone].strip() if header.timezone is not None else ""
        if timezone and (problem := _zone_problem(timezone)):
            return LeadRow(line, email, None, {}, problem)
    except InputInvalid as error:
        return LeadRow(line, cells[header.email].strip()[:254], None, {}, _reason(error))
    variables: dict[str, Any] = {name: cells[i] for i, name in header.plain if cells[i]}
    for i, path in header.nested:
        if cells[i]:
            _put(variables, path, cells[i])
    return LeadRow(line, email, timezone or None, variables)


def _put(variables: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    for name in path[:-1]:
        variables = variables.setdefault(name, {})
    variables[path[-1]] = value


@functools.lru_cache(maxsize=4096)
def _zone_problem(name: str) -> str | None:
    try:
        zone_named(name)
    except InputInvalid as error:
        return str(error)
    return None


def _reason(error: InputInvalid) -> str:
    return " ".join(str(error).split())


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines as text, without the byte order mark Excel writes."""
    for number, raw in enumerate(lines, 1):
        content = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        try:
            text = content.decode()
        except UnicodeDecodeError:
            _refuse(number, "The line is not UTF-8.", "Save the file as UTF-8.")
        if "\0" in text:
            _refuse(number, "The line holds a NUL character.", "Save the file as UTF-8 text.")
        yield text


def _header(cells: list[str]) -> Header:
    names = [cell.strip() for cell in cells]
    _check_names(names)
    emails = [i for i, name in enumerate(names) if name.casefold() in _EMAIL]
    zones = [i for i, name in enumerate(names) if name.casefold() in _TIMEZONE]
    if len(emails) != 1 or len(zones) > 1:
        hint = "Separate the columns by commas." if ";" in "".join(names) else ""
        what = "The header needs exactly one column `email` and at most one `timezone`."
        _refuse(1, what, hint or "Name the columns in the first line.")
    rest = [(i, name) for i, name in enumerate(names) if i not in {*emails, *zones}]
    header = Header(
        width=len(names),
        email=emails[0],
        timezone=zones[0] if zones else None,
        plain=tuple((i, name) for i, name in rest if "." not in name),
        nested=tuple((i, tuple(name.split("."))) for i, name in rest if "." in name),
    )
    _check_nesting(header)
    return header


def _check_names(names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        _refuse(1, f"The header has more than {MAX_COLUMNS} columns.", "Leave some out.")
    for number, name in enumerate(names, 1):
        if not name or len(name) > MAX_NAME or not name.isprintable() or "" in name.split("."):
            what = f"Column {number} has no usable name."
            _refuse(1, what, f"Name every column with 1 to {MAX_NAME} characters.")
        if names.index(name) != number - 1:
            _refuse(1, f"Column {number}: '{name}' is named twice.", "Rename one of them.")


def _check_nesting(header: Header) -> None:
    """Refuse `user` beside `user.city`: one cannot be both a value and a group."""
    values = {(name,) for _, name in header.plain} | {path for _, path in header.nested}
    for _, path in header.nested:
        for depth in range(1, len(path)):
            if path[:depth] in values:
                what = f"'{'.'.join(path[:depth])}' and '{'.'.join(path)}' exclude each other."
                _refuse(1, what, "Rename one of the columns.")


def _refuse_width(line: int, found: int, expected: int) -> NoReturn:
    what = f"The row has {found} fields, the header {expected}."
    _refuse(line, what, "Quote fields that hold commas.")


def _refuse(line: int, what: str, fix: str) -> NoReturn:
    raise InputInvalid(
        f"Line {line}: {what}", why="Nothing was imported.", fix=fix, field=f"line {line}"
    )
