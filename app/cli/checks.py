"""What `mailqueue doctor` looks at: one function per dependency, each returns findings.

A finding is a fact or a fault with its remedy; a check never raises for what it looks for.
"""

import contextlib
import datetime as dt
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.clock import utc_now
from app.config import Settings
from app.db import migrate
from app.db.session import Session, connect, one
from app.errors import DependencyUnavailable, MailqueueError
from app.policy.rate_limits import RateLimiter
from app.queueing.depth import DepthGauge
from app.queueing.topology import WORK_QUEUES, topology
from app.secretbox import SecretBox
from app.ticker import has_leader
from tracking.tokens import TokenKeys

_SKEW_LIMIT = dt.timedelta(seconds=2)
_ENOUGH_BYTES = 200_000_000
_HTTP_TIMEOUT_S = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's report; `fix` says what to do about a fault."""

    name: str
    ok: bool
    text: str
    fix: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def _good(name: str, text: str) -> Finding:
    return Finding(name=name, ok=True, text=text)


def _bad(name: str, text: str, fix: str) -> Finding:
    return Finding(name=name, ok=False, text=text, fix=fix)


def _of(name: str, error: MailqueueError) -> Finding:
    return _bad(name, f"{error.what} {error.why}".strip(), error.fix)


def secrets(now: Settings) -> Iterator[Finding]:
    """Check that every secret is set and the keys can be read."""
    values = {
        "MAILQUEUE_SEALING_KEYS": now.sealing_keys,
        "MAILQUEUE_TRACKING_KEYS": now.tracking_keys,
        "MAILQUEUE_ADDRESS_PEPPER": now.address_pepper,
        "MAILQUEUE_API_KEY_PEPPER": now.api_key_pepper,
    }
    missing = [name for name, value in values.items() if not value.get_secret_value()]
    if missing:
        yield _bad("secrets", f"{', '.join(missing)} not set.", "mailqueue init writes them.")
        return
    try:
        SecretBox.from_setting(now.sealing_keys.get_secret_value())
        TokenKeys.from_setting(now.tracking_keys.get_secret_value())
    except MailqueueError as error:
        yield _of("secrets", error)
        return
    cron = "" if now.cron_secret.get_secret_value() else "; the cron route is closed (no secret)"
    yield _good("secrets", f"all set{cron}")


def postgresql(now: Settings) -> Iterator[Finding]:
    """Check server, migrations, partitions, clock skew and the leader."""
    try:
        with contextlib.closing(connect(now.database_url, role=None)) as session:
            yield _server(session)
            is_current = migrate.is_current(session)
            yield _migrations(is_current=is_current)
            yield _skew(session)
            if is_current:
                yield _partitions(session)
            yield _leader(session)
    except DependencyUnavailable as error:
        yield _of("postgresql", error)


def _server(session: Session) -> Finding:
    major = session.info.server_version // 10_000
    if not 15 <= major <= 18:
        return _bad("postgresql", f"version {major}", "Use PostgreSQL 15 to 18.")
    return _good("postgresql", f"version {major}")


def _migrations(*, is_current: bool) -> Finding:
    if is_current:
        return _good("migrations", f"at {migrate.head()}")
    return _bad("migrations", f"not at {migrate.head()}", "Run: mailqueue migrate")


def _partitions(session: Session) -> Finding:
    ahead = partitions_until(session)
    if ahead is not None and ahead >= utc_now() + dt.timedelta(days=28):
        return _good("partitions", f"made until {ahead:%Y-%m-%d}")
    until = f"made until {ahead:%Y-%m-%d}" if ahead else "none"
    return _bad("partitions", until, "Run: mailqueue migrate (the clock makes them hourly).")


def partitions_until(session: Session) -> dt.datetime | None:
    """Return the end of the last month that has a partition of `emails`; None without any."""
    row = one(
        session,
        """
        SELECT max(to_date(right(child.relname, 7), 'YYYY_MM') + interval '1 month')
        FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
        WHERE inhparent = 'emails'::regclass
        """,
    )
    return row[0].replace(tzinfo=dt.UTC) if row and row[0] else None


def _skew(session: Session) -> Finding:
    before = utc_now()
    row = one(session, "SELECT clock_timestamp()")
    after = utc_now()
    skew = abs(row[0] - (before + (after - before) / 2)) if row else dt.timedelta()
    text = f"{skew.total_seconds() * 1000:.0f} ms apart from PostgreSQL"
    if skew <= _SKEW_LIMIT:
        return _good("clock skew", text)
    return _bad("clock skew", text, "Let both machines follow NTP.")


def _leader(session: Session) -> Finding:
    if has_leader(session):
        return _good("clock", "one leads")
    return _good("clock", "none runs: nothing is scheduled until `mailqueue clock` does")


def rabbitmq(now: Settings) -> Iterator[Finding]:
    """Check the server, and that the queues exist with the right arguments."""
    gauge = DepthGauge(now.rabbitmq_url)
    try:
        yield _good("rabbitmq", f"version {gauge.server_version()}")
        yield _topology(gauge)
    except DependencyUnavailable as error:
        yield _of("rabbitmq", error)
    finally:
        gauge.close()


def _topology(gauge: DepthGauge) -> Finding:
    names = [queue.name for queue in topology().queues]
    missing = [name for name in names if gauge.find(name) is None]
    if missing:
        return _bad(
            "queues",
            f"{len(missing)} of {len(names)} missing ({', '.join(missing[:3])}...)",
            "Start a worker or the clock: they declare them. Or load "
            "infra/rabbitmq/definitions.json.",
        )
    try:
        gauge.verify()
    except MailqueueError as error:
        return _of("queues", error)
    waiting = sum(gauge.ready(name) for name in WORK_QUEUES)
    return _good("queues", f"{len(names)} declared, {waiting:,} message(s) waiting")


def redis(now: Settings) -> Iterator[Finding]:
    """Check that Redis answers."""
    limiter = RateLimiter(now.redis_url)
    try:
        limiter.ping()
        yield _good("redis", "answers")
    except MailqueueError as error:
        yield _of("redis", error)
    finally:
        limiter.close()


def tracking(now: Settings) -> Iterator[Finding]:
    """Check that the public tracking URL leads to the tracking process."""
    url = f"{now.tracking_url.rstrip('/')}/healthz"
    if not url.startswith(("http://", "https://")):
        yield _bad("tracking url", url, "Set MAILQUEUE_TRACKING_URL to an http(s) URL.")
        return
    try:
        with urllib.request.urlopen(url, timeout=_HTTP_TIMEOUT_S) as response:  # noqa: S310 - http(s) only, checked above
            yield _good("tracking url", f"{now.tracking_url} answers {response.status}")
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        yield _bad(
            "tracking url",
            f"{url}: {reason}",
            "Start `mailqueue tracking`, or correct MAILQUEUE_TRACKING_URL.",
        )


def state_directory(now: Settings) -> Iterator[Finding]:
    """Check that journals and the spool can be written, with room to spare."""
    path = now.state_dir
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"mailqueue")
    except OSError as error:
        fix = "Give this user a local folder: MAILQUEUE_STATE_DIR."
        yield _bad("state dir", f"{path}: {error.strerror}", fix)
        return
    free = shutil.disk_usage(path).free
    text = f"{path.resolve()}, {free / 1e9:,.1f} GB free"
    if free < _ENOUGH_BYTES:
        yield _bad("state dir", text, "Make room: tracking hits wait here while RabbitMQ is away.")
        return
    yield _good("state dir", text)


CHECKS: dict[str, Check] = {
    "secrets": secrets,
    "postgresql": postgresql,
    "rabbitmq": rabbitmq,
    "redis": redis,
    "state": state_directory,
    "tracking": tracking,
}
