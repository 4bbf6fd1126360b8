"""What a name, a host and a limit may be, and how the refusals read. Mostly pure."""

import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg

from app.errors import Conflict, InputInvalid, NotFound
from app.mail.address import ascii_domain, normalise

LONGEST_NAME = 100

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def name(value: str, field: str = "name") -> str:
    """Return a name without surrounding space; raises InputInvalid."""
    stripped = value.strip()
    if not stripped or len(stripped) > LONGEST_NAME or not stripped.isprintable():
        raise InputInvalid(
            f"{value[:LONGEST_NAME]!r} cannot be a name.",
            why=f"A name has 1 to {LONGEST_NAME} printable characters.",
            field=field,
        )
    return stripped


def line(value: str, field: str) -> str:
    """Return free text that fits on one line, such as a display name; raises InputInvalid."""
    stripped = value.strip()
    if len(stripped) > 200 or not (stripped.isprintable() or not stripped):
        raise InputInvalid(
            f"The {field} cannot be used.",
            why="It holds control characters or is longer than 200 characters.",
            field=field,
        )
    return stripped


def address(value: str, field: str) -> str:
    """Return the one spelling of an e-mail address; DNS is not asked. Raises InputInvalid."""
    try:
        return normalise(value)
    except InputInvalid as error:
        raise InputInvalid(error.what, why=error.why, fix=error.fix, field=field) from error


def host(value: str, field: str = "host") -> str:
    """Return a host name in lower-case ASCII, or an IP address; raises InputInvalid.

    Whether it exists and may be connected to is found out at each connect, never here.
    """
    stripped = value.strip().removeprefix("[").removesuffix("]").removesuffix(".")
    if _is_ip(stripped):
        return stripped
    try:
        found = ascii_domain(stripped)
    except UnicodeError:
        found = ""
    if len(found) > 253 or not _HOST.fullmatch(found) or found.rpartition(".")[2].isdigit():
        raise InputInvalid(
            f"{value[:80]!r} is not the name of a host.",
            why="A host is a domain name or an IP address, without scheme, port or path.",
            fix="Write it as smtp.example.com.",
            field=field,
        )
    return found


def within(value: int, allowed: range, field: str) -> int:
    """Return `value` when it is in `allowed`; raises InputInvalid naming both ends."""
    if value not in allowed:
        raise InputInvalid(
            f"{field} cannot be {value}.",
            why=f"It must be from {allowed.start} to {allowed.stop - 1}.",
            field=field,
        )
    return value


def within_or_none(value: int | None, allowed: range, field: str) -> int | None:
    """Return a limit that may be absent; raises InputInvalid naming both ends."""
    return None if value is None else within(value, allowed, field)


def not_found(kind: str, wanted: str, known: Iterable[str]) -> NotFound:
    """Return a NotFound that suggests the nearest of the `known` names, or lists some."""
    names = sorted(known)
    nearest = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    if nearest:
        fix = f"Did you mean {nearest[0]!r}?"
    elif names:
        fix = f"There are: {', '.join(names[:10])}{', ...' if len(names) > 10 else '.'}"
    else:
        fix = f"There is no {kind} yet: create one first."
    return NotFound(f"There is no {kind} {wanted!r}.", fix=fix, field=kind)


@contextmanager
def unique(kind: str, wanted: str, field: str = "name") -> Iterator[None]:
    """Turn a unique violation into a Conflict; put it around the transaction, not inside."""
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        raise Conflict(
            f"The {kind} {wanted!r} exists already.",
            why=f"The {field} of each {kind} is its own.",
            fix="Choose another, or change the one that exists.",
            field=field,
        ) from error


@contextmanager
def unused(kind: str, wanted: str, fix: str) -> Iterator[None]:
    """Turn a foreign key's refusal into a Conflict; put it around the transaction."""
    try:
        yield
    except psycopg.errors.ForeignKeyViolation as error:
        raise in_use(kind, wanted, f"{error.diag.table_name} still names it.", fix) from error


def in_use(kind: str, wanted: str, why: str, fix: str) -> Conflict:
    """Return the refusal to delete what something else stands on."""
    return Conflict(f"The {kind} {wanted!r} is in use.", why=why, fix=fix)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
