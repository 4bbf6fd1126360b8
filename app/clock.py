"""The one place where a process reads the time: rules take `now` as a parameter.

Rows use PostgreSQL's now(); intervals inside a process use the monotonic clock.
"""

import datetime as dt
import time


def utc_now() -> dt.datetime:
    """Return the wall clock as an aware UTC datetime."""
    return dt.datetime.now(dt.UTC)


def monotonic_s() -> float:
    """Return seconds of a clock that never goes back; only differences mean anything."""
    return time.monotonic()


def thread_cpu_s() -> float:
    """Return seconds this thread has computed; waiting does not count."""
    return time.thread_time()
