"""Archive files: gzip'd lines of JSON that any tool reads, complete or not there at all.

A file is written under a temporary name, synced to disk, and gets its own name last; its checksum
stands in the manifest beside it and in the database. What a crash leaves under a temporary name is
overwritten by the next run.
"""

import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from app.errors import DependencyUnavailable, InputInvalid, NotFound
from app.redaction import masked_throughout

SUFFIX = ".ndjson.gz"
MANIFEST = ".manifest.json"
_LEVEL = 6
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A finished file: its place, its lines, its size in bytes and the SHA-256 of its bytes."""

    location: str
    rows: int
    size_bytes: int
    sha256: bytes


class _Hashing:
    """A file that knows the checksum of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        """Write through."""
        self.digest.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush through."""
        self._file.flush()


def write(folder: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> Written:
    """Write one file of `folder`; no address stays readable in it (app/redaction).

    Raises DependencyUnavailable when the disk does not take it; nothing has that name then.
    """
    path, scratch = folder / name, folder / f".{name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            hashing = _Hashing(file)
            with gzip.GzipFile("", "wb", _LEVEL, hashing, mtime=0) as packed:
                count = _lines(packed, rows)
            file.flush()
            os.fsync(file.fileno())
        _name(scratch, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    return Written(
        location=str(path),
        rows=count,
        size_bytes=hashing.size_bytes,
        sha256=hashing.digest.digest(),
    )


def write_manifest(folder: Path, series: str, facts: Mapping[str, Any]) -> None:
    """Write what a series consists of beside its files."""
    path = folder / f"{series}{MANIFEST}"
    scratch = folder / f".{path.name}.partial"
    try:
        with scratch.open("wb") as file:
            file.write(orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            file.flush()
            os.fsync(file.fileno())
        _name(scratch, path)
    except OSError as error:
        raise _unwritable(path, error) from error


def checksum(path: Path) -> bytes:
    """Return the SHA-256 of a file; raises NotFound when it is not there."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except FileNotFoundError as error:
        raise _missing(path) from error
    return digest.digest()


def read(path: Path, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the first `limit` rows of an archive file; raises NotFound, InputInvalid."""
    try:
        with gzip.open(path, "rb") as lines:
            for _, line in zip(range(limit), lines, strict=False):
                yield orjson.loads(line)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, EOFError, orjson.JSONDecodeError) as error:
        raise InputInvalid(
            f"{path} is no archive file.",
            why=f"{error}.",
            fix=f"Name a file that ends in {SUFFIX}, as its manifest lists them.",
        ) from error


def manifest_of(path: Path) -> dict[str, Any] | None:
    """Return the manifest beside an archive file; None when there is none."""
    series = path.name.split(".", 1)[0]
    try:
        facts: dict[str, Any] = orjson.loads((path.parent / f"{series}{MANIFEST}").read_bytes())
    except FileNotFoundError:
        return None
    return facts


def _lines(packed: gzip.GzipFile, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        count += 1
        line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
        if b"@" in line:
            line = orjson.dumps(masked_throughout(row), option=orjson.OPT_APPEND_NEWLINE)
        packed.write(line)
    return count


def _name(scratch: Path, path: Path) -> None:
    """Give a synced file its name, and let the name survive a loss of power."""
    scratch.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _missing(path: Path) -> NotFound:
    return NotFound(
        f"There is no archive file {path}.", fix="See what there is: mailqueue retention list"
    )


def _unwritable(path: Path, error: OSError) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"The archive {path} cannot be written: {error.strerror}.",
        why="Nothing leaves the database before its file is on disk.",
        fix="Free disk space, correct the permissions, or set MAILQUEUE_ARCHIVE_DIR.",
    )
