"""What the launcher says to a person: progress with seconds, tables, errors with a remedy."""

import sys
import time

from app.errors import MailqueueError

_STARTED = time.monotonic()


def say(text: str) -> None:
    """Print one line of progress with the seconds since the start."""
    sys.stderr.write(f"[{time.monotonic() - _STARTED:5.1f}s] {text}\n")
    sys.stderr.flush()


def table(title: str, rows: list[tuple[str, str]]) -> None:
    """Print two columns under a title, aligned."""
    width = max((len(left) for left, _ in rows), default=0)
    lines = [f"  {left:<{width}}  {right}" for left, right in rows]
    sys.stdout.write("\n".join(["", title, *lines, "", ""]))
    sys.stdout.flush()


def complain(error: MailqueueError) -> None:
    """Print what happened, why, and what to do."""
    parts = (error.what, error.why, error.fix)
    sys.stderr.write("\n" + "\n".join(part for part in parts if part) + "\n")
