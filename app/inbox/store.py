"""Where the inbox keeps its mails: one append-only file, one offset in memory per mail.

A record is a line of JSON (envelope, subject, Message-ID, size) and the bytes of the mail. The file
can be read while it grows and survives a restart; a torn last record is cut off.
"""

import os
import re
import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import decode_header, make_header
from pathlib import Path

import orjson

_HEADER_LIMIT = 16_384
_SUBJECT = re.compile(
    rb"^Subject:[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE
)
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_LINE_LIMIT = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One mail without its bytes; `seq` counts from 1 and is never used twice while the inbox runs."""

    seq: int
    at_ms: int
    mail_from: str
    rcpt_to: tuple[str, ...]
    subject: str
    message_id: str
    size: int


class Store:
    """The file of one inbox; one thread appends, any number read."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self._fd = os.open(directory / "messages.inbox", flags, 0o600)
        self._offsets = array("Q")
        self._end = 0
        self._first_seq = 1
        self._load()

    def append(self, at_ms: int, mail_from: str, rcpt_to: list[str], data: bytes) -> int:
        """Keep a mail and return its number; it can be read when this returns."""
        end = data.find(b"\r\n\r\n", 0, _HEADER_LIMIT)
        head = data[:end] if end >= 0 else data[:_HEADER_LIMIT]
        with self._lock:
            seq = self._first_seq + len(self._offsets)
            line = orjson.dumps(
                {
                    "seq": seq,
                    "at_ms": at_ms,
                    "mail_from": mail_from,
                    "rcpt_to": rcpt_to,
                    "subject": _first(_SUBJECT, head),
                    "message_id": _first(_MESSAGE_ID, head),
                    "size": len(data),
                }
            )
            record = b"%b\n%b\n" % (line, data)
            os.write(self._fd, record)
            self._offsets.append(self._end)
            self._end += len(record)
        return seq

    def count(self) -> int:
        """Return how many mails there are."""
        return len(self._offsets)

    def messages(self, after: int = 0, limit: int | None = None) -> Iterator[Message]:
        """Yield mails in the order of arrival, those with a number above `after`."""
        start = max(0, after - self._first_seq + 1)
        stop = len(self._offsets) if limit is None else start + limit
        for index in range(start, min(stop, len(self._offsets))):
            yield self._message(index)[0]

    def latest(self, limit: int, before: int | None = None) -> list[Message]:
        """Return the newest mails first, those with a number below `before`."""
        end = self._first_seq + self.count() if before is None else before
        end = min(end, self._first_seq + self.count())
        seqs = range(end - 1, max(end - 1 - limit, self._first_seq - 1), -1)
        return [self._message(seq - self._first_seq)[0] for seq in seqs]

    def open(self, seq: int) -> tuple[Message, bytes] | None:
        """Return a mail and its bytes; None when there is no such number."""
        index = seq - self._first_seq
        if not 0 <= index < len(self._offsets):
            return None
        message, start = self._message(index)
        return message, os.pread(self._fd, message.size, start)

    def clear(self) -> None:
        """Remove every mail; numbers go on from where they were."""
        with self._lock:
            self._first_seq += len(self._offsets)
            self._offsets = array("Q")
            self._end = 0
            os.ftruncate(self._fd, 0)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _message(self, index: int) -> tuple[Message, int]:
        start = self._offsets[index]
        line = os.pread(self._fd, 4_096, start)
        if b"\n" not in line:
            line = os.pread(self._fd, _LINE_LIMIT, start)
        line = line[: line.index(b"\n")]
        fields = orjson.loads(line)
        fields["rcpt_to"] = tuple(fields["rcpt_to"])
        fields["subject"] = decoded(fields["subject"])
        return Message(**fields), start + len(line) + 1

    def _load(self) -> None:
        """Find the records of an earlier run."""
        size = os.fstat(self._fd).st_size
        while self._end < size:
            self._offsets.append(self._end)
            try:
                message, start = self._message(len(self._offsets) - 1)
            except ValueError:  # torn inside its first line
                message, start = None, size
            end = start + message.size + 1 if message else size + 1
            if end > size:
                self._offsets.pop()
                os.ftruncate(self._fd, self._end)
                return
            if message and len(self._offsets) == 1:
                self._first_seq = message.seq
            self._end = end


def decoded(header: str) -> str:
    """Return a header value as people read it (RFC 2047); as it stands when it cannot be decoded."""
    if "=?" not in header:
        return header
    try:
        return str(make_header(decode_header(header)))
    except (ValueError, LookupError):
        return header


def _first(pattern: re.Pattern[bytes], head: bytes) -> str:
    match = pattern.search(head)
    if match is None:
        return ""
    return match[1].replace(b"\r\n", b"").decode("utf-8", "replace").strip()
