"""The way a mail leaves: the account it is sent from, the server, the limits, the retry policy."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from app.db.session import Session
from app.errors import NotFound
from app.policy import pacing, standing
from app.policy.limits import AccountLimits, AppLimits
from app.policy.throttle import Pace
from app.policy.warmup import WarmUp, ramp
from app.secretbox import SecretBox
from app.smtp.breaker import Breaker, Phase
from app.smtp.connection import Security, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How a queue treats deferrals: wait `delays_s[n]` after attempt n + 1.

    When the delays are used up the mail fails, unless `max_age_s` is set: then the last delay
    repeats until the mail is that old.
    """

    delays_s: tuple[int, ...]
    max_age_s: int | None


_LIMITS = (
    "hourly_limit",
    "daily_limit",
    "min_gap_ms",
    "ramp",
    "queue_per_minute",
    "app_limits",
    "paces",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """All that sending one chunk needs to know about its account, queue and server."""

    account_id: UUID
    app_id: UUID
    queue_id: UUID
    address: str
    server: Server
    server_id: UUID
    server_name: str
    breaker: Breaker
    hourly_limit: int | None
    daily_limit: int | None
    min_gap_ms: int
    queue_per_minute: int | None
    micro_batch: int
    policy: RetryPolicy
    is_open: bool
    held_for: str | None  # why the account or its app is held by its reputation
    ramp: WarmUp | None
    app_limits: AppLimits
    paces: Mapping[str, Pace]  # of recipient domains that are slowed now

    def limits(self, on: dt.date) -> AccountLimits:
        """Return the account's limits of the UTC day `on`, warm-up included."""
        full = AccountLimits(
            hourly_limit=self.hourly_limit,
            daily_limit=self.daily_limit,
            min_gap_ms=self.min_gap_ms,
        )
        return full.warmed(self.ramp, on)

    def has_limits_of(self, other: "Route") -> bool:
        """Tell whether both routes have the same limits."""
        return all(getattr(self, name) == getattr(other, name) for name in _LIMITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the process adds to every route: how to open secrets, whom it may connect to."""

    secretbox: SecretBox
    helo: str
    allowed_networks: tuple[str, ...]


_ROUTE = f"""
SELECT a.app_id, a.address, {standing.HOURLY_LIMIT} AS hourly_limit, a.daily_limit, a.min_gap_ms,
       a.warmup_started_on, a.warmup_daily_start, a.warmup_growth,
       s.id AS server_id, s.name AS server_name, s.host, s.port, s.security, s.username,
       s.password_sealed, s.connections,
       coalesce(b.phase, 'closed') AS phase, coalesce(b.failures, 0) AS failures,
       coalesce(b.successes, 0) AS successes, b.probe_at, b.reason,
       q.per_minute AS queue_per_minute, q.micro_batch, q.retry_delays_s, q.max_deferral_age_s,
       {standing.APP_PER_MINUTE} AS app_per_minute, apps.daily_quota, apps.monthly_quota, now(),
       a.status = 'active' AND q.status <> 'paused' AND apps.status = 'active' AS is_open,
       {standing.HELD_FOR} AS held_for
FROM email_accounts a JOIN smtp_configs s ON s.id = a.smtp_config_id JOIN apps ON apps.id = a.app_id
LEFT JOIN smtp_breakers b ON b.smtp_config_id = s.id
{standing.OF_ACCOUNT} {standing.OF_APP}
JOIN queues q ON q.id = %(queue)s AND q.app_id = a.app_id
WHERE a.id = %(account)s"""  # noqa: S608 - constants


def load(session: Session, account_id: UUID, queue_id: UUID, around: Surroundings) -> Route:
    """Return the route of an account through a queue; raises NotFound when either is gone."""
    cursor = session.cursor(row_factory=dict_row)
    row = cursor.execute(_ROUTE, {"account": account_id, "queue": queue_id}).fetchone()
    if row is None:
        raise NotFound(
            f"E-mail account {account_id} or queue {queue_id} does not exist.",
            why="It was deleted while its mail was on the way.",
            fix="Create it again or cancel the mail.",
        )
    return Route(
        account_id=account_id,
        app_id=row["app_id"],
        queue_id=queue_id,
        address=row["address"],
        server=_server(row, around),
        server_id=row["server_id"],
        server_name=row["server_name"],
        breaker=_breaker(row),
        hourly_limit=row["hourly_limit"],
        daily_limit=row["daily_limit"],
        min_gap_ms=row["min_gap_ms"],
        queue_per_minute=row["queue_per_minute"],
        micro_batch=row["micro_batch"],
        policy=RetryPolicy(
            delays_s=tuple(row["retry_delays_s"]), max_age_s=row["max_deferral_age_s"]
        ),
        is_open=row["is_open"],
        held_for=row["held_for"],
        ramp=ramp(row["warmup_started_on"], row["warmup_daily_start"], row["warmup_growth"]),
        app_limits=_app_limits(row),
        paces=pacing.paces(session, row["app_id"], row["now"]),
    )


def _server(row: Mapping[str, Any], around: Surroundings) -> Server:
    password = None
    if row["password_sealed"] is not None:
        password = around.secretbox.open(
            row["password_sealed"],
            table="smtp_configs",
            column="password_sealed",
            row_id=row["server_id"],
            app_id=row["app_id"],
        )
    return Server(
        host=row["host"],
        port=row["port"],
        security=Security(row["security"]),
        username=row["username"],
        password=password,
        helo=around.helo,
        connections=row["connections"],
        allowed_networks=around.allowed_networks,
    )


def _breaker(row: Mapping[str, Any]) -> Breaker:
    return Breaker(
        phase=Phase(row["phase"]),
        failures=row["failures"],
        successes=row["successes"],
        probe_at=row["probe_at"],
        reason=row["reason"],
    )


def _app_limits(row: Mapping[str, Any]) -> AppLimits:
    return AppLimits(
        per_minute=row["app_per_minute"],
        daily_quota=row["daily_quota"],
        monthly_quota=row["monthly_quota"],
    )
